"""The options of `kws train` that choose the device, and what kws records of the tensors and time of training steps."""
from dataclasses import dataclass
from typing import Optional, Tuple

from ..errors import KwsError
from ..settings import flag_of, setting
from . import DEVICES, npu_flags, npu_options


@dataclass(frozen=True)
class DeviceSettings:
    """What the network trains on, and what kws records while it trains."""

    device: str = setting("auto", "Device to train on. auto takes an NPU, otherwise a GPU, otherwise the CPU.",
                          choices=("auto", *DEVICES))
    device_id: Optional[int] = setting(
        None, "Device number (default: $ASCEND_DEVICE_ID, $DEVICE_ID or 0).", minimum=0
    )
    precision_mode: Optional[str] = setting(
        None, "What to compute in float16. On a GPU only allow_mix_precision and must_keep_origin_dtype have an effect "
        "(default: allow_mix_precision on an NPU, float32 elsewhere).",
        choices=npu_options.PRECISION_MODES,
    )
    loss_scale: Optional[str] = setting(
        None, "Factor for the loss, so that gradients in float16 do not vanish: dynamic, none or a number "
        "(default: dynamic in float16).",
    )
    iterations_per_loop: int = setting(1, "NPU: training steps per call from the host.", minimum=1)
    over_dump: bool = setting(False, "Look for overflows and save the tensors that overflow.")
    data_dump_flag: bool = setting(False, "Save the tensors of the steps in --data-dump-step.")
    data_dump_step: str = setting("10", "Steps whose tensors to save, such as 0|5|10-20.")
    dump_mode: str = setting("output", "Which tensors of each operation to save.", choices=npu_options.DUMP_MODES)
    profiling: bool = setting(False, "Trace how long the operations of a step take.")
    profiling_options: Optional[str] = setting(
        None, "What --profiling measures, as a JSON object. On a CPU or GPU only its output, a folder, has an effect."
    )
    profiling_steps: Optional[str] = setting(
        None, "CPU and GPU: steps that --profiling traces, such as 20|40-44 (default: steps 11 to 15 of this process)."
    )
    data_save_path: str = setting("", "Folder for dumps and traces (default: TRAIN_DIR/data).")
    modify_mixlist: Optional[str] = setting(None, "NPU: JSON file that changes the operator lists of mixed precision.")
    fusion_switch_file: Optional[str] = setting(None, "NPU: JSON file that turns operator fusions on and off.")
    op_select_implmode: Optional[str] = setting(
        None, "NPU: which implementations of operators to use.", choices=npu_options.OP_SELECT
    )
    aoe_mode: Optional[str] = setting(
        None, "NPU: what to tune before training: 1 subgraphs, 2 operators, 4 gradient slices.",
        choices=npu_options.AOE_MODES,
    )
    work_path: Optional[str] = setting(None, "NPU: folder for files of the tuning (default: that of --data-save-path).")
    npu_option: Tuple[str, ...] = setting(
        (), "NPU: any other option of npu_bridge, as KEY=VALUE. Can be repeated.", repeated=True
    )

    def __post_init__(self):
        if self.loss_scale is not None:
            npu_flags.loss_scale(self.loss_scale)
        npu_flags.checked("dump_step", self.data_dump_step)
        if self.profiling_options is not None:
            npu_flags.checked("profiling_options", self.profiling_options)
        if self.profiling_steps is not None:
            try:
                npu_options.dump_steps(self.profiling_steps)
            except ValueError as error:
                raise KwsError("--profiling-steps is %r" % self.profiling_steps, str(error))
        for name in ("profiling_options", "profiling_steps"):
            if getattr(self, name) is not None and not self.profiling:
                raise KwsError("%s has no effect without --profiling" % flag_of(name), "give --profiling too")
