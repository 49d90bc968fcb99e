"""A child of test_train_npu.py: `kws` with the fake npu_bridge on the path, and the steps that overflow given first."""
import sys

import npu_bridge._control as control

from kwscli import cli

control.overflow_schedule.update(int(step) for step in sys.argv[1].split(",") if step)
sys.argv = ["kws"] + sys.argv[2:]
try:
    cli.main()
finally:
    kinds = [kind for kind, _ in control.events]
    print("sessions opened %d, closed %d" % (kinds.count("session_created"), kinds.count("close")), file=sys.stderr)
