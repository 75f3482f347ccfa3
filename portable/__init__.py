"""Training where TensorFlow is not: the meta-step as StableHLO, run by JAX.

    python -m portable.export runs/omniglot/maml-5way-1shot/seed0 step      # here
    python portable/train.py step                                           # there
    python -m portable.take_back runs/omniglot/maml-5way-1shot/seed0 step   # here

Algorithm 1, the tasks it draws and the validation are those of `run_experiment.py`, compiled into
one program. Where it runs needs `portable/train.py`, JAX and the exported folder, and nothing else.
"""
