"""The TensorFlow operations that `pb-features` may contain, because CANN's `atc` converts them.

The source of most is the code of CANN's TensorFlow parser: the file NAME_plugin.cc in the folder
ops/built-in/framework/tf_plugin of the repository Ascend/canndev, which registers the operation with
FrameworkType(TENSORFLOW). These files exist in a public copy of 2021 to 2022, the time of CANN 5. No `atc` was run.
"""

OPERATORS = {
    "AddV2": "add_v2_plugin.cc",
    "BiasAdd": "bias_add_plugin.cc",
    "Conv2D": "conv2d_plugin.cc",
    "DepthwiseConv2dNative": "depthwise_conv2d_forward_native_plugin.cc",
    "MatMul": "matmul_plugin.cc",
    "MaxPool": "max_pool_plugin.cc",
    "Mean": "reduce_mean_plugin.cc",
    "Mul": "mul_plugin.cc",
    "Pack": "pack_plugin.cc",
    "Pad": "pad_plugin.cc",
    "Relu": "relu_plugin.cc",
    "Sigmoid": "sigmoid_plugin.cc",
    "Softmax": "softmax_v2_plugin.cc",
    "Split": "split_plugin.cc",
    "SplitV": "split_v_plugin.cc",
    "StridedSlice": "strided_slice_plugin.cc",
    "Sub": "sub_plugin.cc",
    "Tanh": "tanh_plugin.cc",
    "Unpack": "unpack_plugin.cc",
    # The parser itself handles these, so they have no such file: unverified.
    "Const": "",
    "Placeholder": "",
    "Reshape": "",
}
