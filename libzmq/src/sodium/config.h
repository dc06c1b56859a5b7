// Included before each of libsodium's files. Derives from the compiler's predefined macros what
// libsodium's configure script finds out by test programs.

#define CONFIGURED 1

#ifndef _MSC_VER // libsodium's headers contain the definitions for MSVC.
#    define _GNU_SOURCE 1
#    define HAVE_ATOMIC_OPS 1
#    define HAVE_GCC_MEMORY_FENCES 1
#    define HAVE_INLINE_ASM 1
#    ifdef __SIZEOF_INT128__
#        define HAVE_TI_MODE 1
#    endif
#    ifdef __x86_64__
#        define HAVE_CPUID 1
#        define HAVE_XGETBV_ASM 1
// Each file enables the instructions that it uses; libsodium checks the processor at run time.
#        define HAVE_EMMINTRIN_H 1
#        define HAVE_PMMINTRIN_H 1
#        define HAVE_TMMINTRIN_H 1
#        define HAVE_SMMINTRIN_H 1
#        define HAVE_AVXINTRIN_H 1
#        define HAVE_AVX2INTRIN_H 1
#        define HAVE_AVX512FINTRIN_H 1
#    endif
#endif

#if defined(_MSC_VER) || __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#    define NATIVE_LITTLE_ENDIAN 1
#endif

// Secret keys are stored in locked memory between guard pages.
#ifndef _WIN32
#    define HAVE_MADVISE 1
#    define HAVE_MLOCK 1
#    define HAVE_MMAP 1
#    define HAVE_MPROTECT 1
#    define HAVE_NANOSLEEP 1
#    define HAVE_POSIX_MEMALIGN 1
#    define HAVE_PTHREAD 1
#    define HAVE_SYSCONF 1
#    define HAVE_SYS_MMAN_H 1
#    define HAVE_SYS_PARAM_H 1
#    define HAVE_WEAK_SYMBOLS 1
#endif
#define HAVE_RAISE 1
