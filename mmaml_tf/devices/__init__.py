"""Several processes, one per device, train one run together: the same command in each, and
TensorFlow's TF_CONFIG in its environment, which names all and says which one it is:

    for i in 0 1; do  # two GPUs of one machine; of two machines, their host:port and an i each
      TF_CONFIG='{"cluster": {"worker": ["localhost:2222", "localhost:2223"]},
        "task": {"type": "worker", "index": '$i'}}' python run_experiment.py --domain=... &
    done; wait
    srun -n2 sh -c 'TF_CONFIG=$(python -m mmaml_tf.devices.slurm) python run_experiment.py ...'

The first one writes the run folder, which all must see. Kubeflow's TFJob sets TF_CONFIG itself.
"""
