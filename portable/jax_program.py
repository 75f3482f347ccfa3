"""StableHLO on JAX's first device (a GPU where JAX has one). Written against JAX 0.10."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend import backend, mlir
from jax.interpreters.mlir import ir, make_ir_context
from jaxlib import xla_client


def device_name() -> str:
    """What programs run on: "NVIDIA H200", "cpu"."""
    return jax.devices()[0].device_kind


def load(program: bytes) -> Callable[[Sequence[Any]], tuple[list[float], list[Any]]]:
    """Compiles a portable artifact; see `portable.train.Program`."""
    jax.config.update("jax_enable_x64", True)  # counters are int64
    device = jax.devices()[0]
    with make_ir_context():
        module = mlir.deserialize_portable_artifact(program)
        drop_copies(module)
        aliases = [
            (list(alias["output_index"])[0], alias["alias"]["parameter_number"].value)
            for alias in module.operation.attributes["mhlo.input_output_alias"]
        ]
        executable = backend.get_backend().compile_and_load(
            module,
            executable_devices=xla_client.DeviceList((device,)),
            compile_options=backend.get_compile_options(num_replicas=1, num_partitions=1),
        )

    def run(arguments: Sequence[Any]) -> tuple[list[float], list[Any]]:
        arguments = [jax.device_put(argument, device) for argument in arguments]
        outputs = executable.execute(arguments)
        # An argument that was changed gave its memory to its successor.
        for output, parameter in aliases:
            arguments[parameter] = outputs[output]
        changed = {output for output, _ in aliases}
        return [float(o) for i, o in enumerate(outputs) if i not in changed], arguments

    return run


def drop_copies(module: ir.Module) -> None:
    """Removes TensorFlow's `mhlo.copy` operations, which are not StableHLO and change nothing."""
    copies = []

    def collect(operation: ir.Operation) -> ir.WalkResult:
        if operation.name == "mhlo.copy":
            copies.append(operation)
        return ir.WalkResult.ADVANCE

    module.operation.walk(collect)
    for copy in copies:
        copy.results[0].replace_all_uses_with(copy.operands[0])
        copy.erase()
