"""The flags of the scripts of ML-KWS-for-MCU and of TensorFlow's `speech_commands` that kws does not have itself.

They are accepted where they mean what kws does, so that a command line of these scripts runs as it is.
"""

# {command: {flag of a script: the same flag of kws; "": an argument without a flag}}
RENAMED = {
    "train": {"--save-step-interval": "--save-interval", "--feature-bin-count": "--dct-coefficient-count"},
    "eval": {"--graph": "--checkpoint", "--feature-bin-count": "--dct-coefficient-count"},
    "label": {"--graph": "--checkpoint", "--how-many-labels": "--top", "--wav": "", "--wav-dir": ""},
    "listen": {  # of test_streaming_accuracy.py
        "--wav": "", "--model": "--checkpoint", "--ground-truth": "--truth", "--clip-stride-ms": "--stride-ms",
        "--average-window-duration-ms": "--smoothing-ms", "--detection-threshold": "--threshold",
        "--minimum-count": "--minimum-windows", "--time-tolerance-ms": "--tolerance-ms",
    },
    "freeze": {
        "--start-checkpoint": "--checkpoint", "--output-file": "--output",
        "--feature-bin-count": "--dct-coefficient-count",
    },
}

_NO = ("false", "0", "no")
_URL = ("",), "kws prepare --download downloads Speech Commands; give --data-path for other data"
_PREPROCESS = ("mfcc",), "kws train --features chooses the features"
# {command: {flag: (the values that mean what kws does, what to do instead of another value)}}
FIXED = {
    "train": {
        "--data-url": _URL, "--preprocess": _PREPROCESS,
        "--optimizer": (("adam",), "kws train uses the Adam optimizer"),
        "--verbosity": (("info",), "the log of every step is in the train dir"),
    },
    "eval": {
        "--data-url": _URL, "--preprocess": _PREPROCESS,
        "--batch-size": (("100",), "kws eval scores 100 clips at a time"),
        "--training": (_NO, "use --split training"),
    },
    "label": {
        "--input-name": (("wav_data", "wav_data:0"), "kws label finds the input node itself"),
        "--output-name": (("labels_softmax", "labels_softmax:0"), "the output node must have this name"),
    },
    "listen": {
        "--input-names": (("wav_data", "wav_data:0"), "kws listen finds the input node itself"),
        "--output-name": (("labels_softmax", "labels_softmax:0"), "the output node must have this name"),
        "--clip-duration-ms": (("1000",), "the length of a clip is that of the network"),
        "--sample-rate": (("16000",), "kws listen converts to the rate of the network; --rate is that of raw samples"),
        "--verbose": (("", "true"), "kws listen prints every detection"),
    },
    "freeze": {
        "--preprocess": _PREPROCESS, "--quantize": (_NO, "use --format tflite-int8"),
        "--clip-stride-ms": (("30",), "no network of kws keeps a cache from clip to clip"),
        "--save-format": (("graph_def",), "use --format"),
    },
}

_NETWORK = {
    "wanted_words": (str,), "sample_rate": float, "clip_duration_ms": float, "window_size_ms": float,
    "window_stride_ms": float, "dct_coefficient_count": float, "model_architecture": str, "model_size_info": (int,),
}
# {command: {a setting that the model file knows, so that its flag can only repeat it: its type; (type,) for a list}}
REPEATED = {
    "eval": dict(_NETWORK, validation_percentage=float, testing_percentage=float),
    "freeze": _NETWORK,
}
