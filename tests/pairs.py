"""Starts two workers on this machine."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def tf_configs(count=2):
    """TF_CONFIG of every worker, on free ports of this machine."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    task = {"type": "worker"}
    return [
        json.dumps({"cluster": {"worker": addresses}, "task": task | {"index": index}})
        for index in range(count)
    ]


def start_pair(*commands, cwd):
    """Starts two workers, of one command or of one each."""
    commands = commands * 2 if len(commands) == 1 else commands
    environment = dict(os.environ, CUDA_VISIBLE_DEVICES="-1", PYTHONPATH=str(ROOT))
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # the command is quiet by itself
    return [
        subprocess.Popen(
            [sys.executable, *command],
            cwd=cwd,
            env=environment | {"TF_CONFIG": config},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for config, command in zip(tf_configs(), commands, strict=True)
    ]
