from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CppExtension

setup(
    packages=["swiglu"],
    ext_modules=[
        CppExtension(
            "swiglu._C", ["csrc/swiglu.cpp"], extra_compile_args=["-O3", "-DTORCH_TARGET_VERSION=0x020b000000000000"]
        )
    ],
    cmdclass={"build_ext": BuildExtension},
)
