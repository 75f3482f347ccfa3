"""Training where TensorFlow is not: the meta-step as StableHLO, run by JAX.

    python -m portable.export runs/omniglot/maml-20way-1shot/seed0 step
    python -m portable.train step      # where JAX and a GPU are; needs this folder and `step` alone
    python -m portable.take_back runs/omniglot/maml-20way-1shot/seed0 step

The program is a logging interval of the run: Algorithm 1, the tasks that it draws, the
meta-optimiser and the validation, as `run_experiment.py` has them. Omniglot's draws are the same
under XLA, so the run sees the tasks that it would have seen; regression's are other draws of the
same distribution.
"""
