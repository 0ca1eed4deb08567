# For node-gyp, where build.mjs does not know the compiler: npx node-gyp rebuild --directory native
{
  "targets": [
    {
      "target_name": "erasure",
      "sources": [
        "avx2-gfni.cpp",
        "avx2.cpp",
        "avx512-gfni.cpp",
        "avx512.cpp",
        "binding.cpp",
        "field.cpp",
        "levels.cpp",
        "neon.cpp",
        "scalar.cpp",
        "ssse3.cpp",
      ],
      "cflags": ["-O3", "-fvisibility=hidden"],
      "cflags_cc!": ["-std=gnu++14", "-std=gnu++1y"],
      "cflags_cc": ["-std=c++17", "-Wno-maybe-uninitialized"],
      "xcode_settings": {
        "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
        "GCC_OPTIMIZATION_LEVEL": "3",
        "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
      },
      "msvs_settings": {"VCCLCompilerTool": {"AdditionalOptions": ["/std:c++17", "/O2"]}},
    }
  ]
}
