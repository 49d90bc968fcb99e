"""The flags of `kws train` that say what a network trains on, and what to look at while it runs."""
from dataclasses import dataclass
from typing import Optional, Tuple

from ..errors import KwsError
from ..settings import setting
from . import npu_flags, npu_options


@dataclass(frozen=True)
class DeviceSettings:
    """What the network runs on, and what is looked at while it runs."""

    device: str = setting("auto", "What to run on; auto takes an NPU, else a GPU, else the CPU.",
                          choices=("auto", "npu", "gpu", "cpu"))
    device_id: Optional[int] = setting(
        None, "Which of several (default: $ASCEND_DEVICE_ID, else $DEVICE_ID, else 0).", minimum=0
    )
    precision_mode: Optional[str] = setting(
        None, "What is computed in float16; a GPU knows allow_mix_precision and must_keep_origin_dtype "
        "(default: allow_mix_precision on an NPU, float32 elsewhere).", choices=npu_options.PRECISION_MODES,
    )
    loss_scale: Optional[str] = setting(
        None, "What keeps float16 gradients from vanishing: dynamic, none, or a number (default: dynamic in float16)."
    )
    iterations_per_loop: int = setting(1, "Steps an NPU makes before it comes back to the host.", minimum=1)
    over_dump: bool = setting(False, "Look for overflows, and keep the tensors that have one.")
    data_dump_flag: bool = setting(False, "Keep tensors of the steps of --data-dump-step.")
    data_dump_step: str = setting("10", "Steps to keep tensors of: 0|5|10-20.")
    dump_mode: str = setting("output", "Which tensors of an operation to keep.", choices=npu_options.DUMP_MODES)
    profiling: bool = setting(False, "Trace where the time of a step goes.")
    profiling_options: Optional[str] = setting(None, "What an NPU's --profiling measures: a JSON object.")
    profiling_steps: Optional[str] = setting(
        None, "Steps that --profiling traces on a CPU or GPU: 20|40-44 (default: 11 to 15 of this process)."
    )
    data_save_path: str = setting("", "Where dumps and traces go (default: TRAIN_DIR/data).")
    modify_mixlist: Optional[str] = setting(None, "NPU: JSON file that edits the operator lists of mixed precision.")
    fusion_switch_file: Optional[str] = setting(None, "NPU: JSON file that turns fusions of operators on and off.")
    op_select_implmode: Optional[str] = setting(
        None, "NPU: which implementations of operators to take.", choices=npu_options.OP_SELECT
    )
    aoe_mode: Optional[str] = setting(
        None, "NPU: tune before training: 1 subgraphs, 2 operators, 4 gradient slices.", choices=npu_options.AOE_MODES
    )
    work_path: Optional[str] = setting(None, "NPU: where that tuning works (default: as --data-save-path).")
    npu_option: Tuple[str, ...] = setting(
        (), "NPU: any other option of its session, as KEY=VALUE; may be repeated.", repeated=True
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
                raise KwsError("--profiling-steps is %r; %s" % (self.profiling_steps, error))
        for name in ("profiling_options", "profiling_steps"):
            if getattr(self, name) is not None and not self.profiling:
                raise KwsError("--%s say what --profiling measures; give --profiling too" % name.replace("_", "-"))
