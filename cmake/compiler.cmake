# Language, warnings and sanitizers, the same for every module.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# Asserts stay on in release: they guard what is written to disk.
set(CMAKE_C_FLAGS_RELEASE "-O3 -g1")
set(CMAKE_CXX_FLAGS_RELEASE "-O3 -g1")
# Debug builds carry the tests: a little optimisation keeps the sanitizers bearable.
set(CMAKE_C_FLAGS_DEBUG "-O1 -g -fno-omit-frame-pointer")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g -fno-omit-frame-pointer")

option(GNOMON_FUZZ "Build the libFuzzer targets (needs clang)" OFF)
set(GNOMON_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize takes them")

add_compile_definitions(_GNU_SOURCE)
# Messages are cut to fit on purpose, hence no -Wformat-truncation (gcc only).
add_compile_options(-Wall -Wextra -Werror -Wshadow -Wvla -fno-strict-aliasing
                    $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation>
                    -Wno-format-zero-length
                    # gcc cannot see that error_set() never returns ERROR_NONE.
                    $<$<C_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>
                    # Encoded bytes must not depend on the processor.
                    -ffp-contract=off)
add_compile_options($<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>
                    $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>)
# The released program is optimised as a whole. Tests link the same objects as they are: whole
# programs by the hundred take too long.
set(GNOMON_WHOLE_PROGRAM $<AND:$<CONFIG:Release>,$<C_COMPILER_ID:GNU>>)
add_compile_options($<$<AND:${GNOMON_WHOLE_PROGRAM},$<COMPILE_LANGUAGE:C>>:-flto=auto>
                    $<$<AND:${GNOMON_WHOLE_PROGRAM},$<COMPILE_LANGUAGE:C>>:-ffat-lto-objects>)
set(GNOMON_IN_PARTS $<NOT:$<BOOL:$<TARGET_PROPERTY:GNOMON_OPTIMISED_AS_A_WHOLE>>>)
add_link_options($<$<AND:${GNOMON_WHOLE_PROGRAM},${GNOMON_IN_PARTS}>:-fno-lto>)

if(GNOMON_SANITIZE)
    add_compile_options(-fsanitize=${GNOMON_SANITIZE} -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${GNOMON_SANITIZE})
endif()
if(GNOMON_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()

find_program(CCACHE ccache)
if(CCACHE)
    set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
