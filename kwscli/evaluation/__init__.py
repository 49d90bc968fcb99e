"""How good a network is. `kws eval` begins in one of these modules, which lead to the others:

- `evaluate`: one network on clips, prepared or in `labelled_clips`; `cautions`, what limits its accuracy's meaning
- `compare`: several networks on the same clips; `verdicts`, which of them is better
- `streaming`: the detector on long recordings; `made_stream` makes them, `operating_points` finds thresholds
- `measurements`: everything that `report` shows: `curves`, `calibration`, `robustness`, `cost`

`label_errors` belongs to `kws prepare --check-labels`.
"""
