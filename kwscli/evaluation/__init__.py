"""How good a network is. `kws eval` begins in one of these modules, which say what they use:

- `evaluate`: one network on clips; `cautions`, what limits the meaning of its accuracy
- `compare`: several networks on the same clips; `verdicts`, which of them is better
- `streaming`: the detector on long recordings; `made_stream` makes them, `operating_points` finds thresholds
- `measurements`: everything that `report` shows: `curves`, `calibration`, `robustness`, `cost`

`label_errors` belongs to `kws prepare --check-labels`.
"""
