// Lets the functions between QUORATE_TARGET_BEGIN("…") and QUORATE_TARGET_END use instructions that the rest of
// the program may not. Written into the sources, so that any build system compiles them without flags of their
// own. The headers of the intrinsics are included before.
#pragma once

#define QUORATE_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define QUORATE_TARGET_BEGIN(features) \
  QUORATE_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define QUORATE_TARGET_END _Pragma("clang attribute pop")
#elif defined(__GNUC__)
#define QUORATE_TARGET_BEGIN(features) \
  _Pragma("GCC push_options") QUORATE_PRAGMA(GCC target(features))
#define QUORATE_TARGET_END _Pragma("GCC pop_options")
#else
#define QUORATE_TARGET_BEGIN(features)
#define QUORATE_TARGET_END
#endif
