# llhttp, the HTTP parser, from C sources that deploy/install-llhttp.sh puts outside the checkout.
# A library of its own: generated code, without our warnings.
set(GNOMON_LLHTTP "$ENV{GNOMON_LLHTTP}" CACHE PATH "Folder of llhttp's C sources")
if(NOT GNOMON_LLHTTP)
    set(GNOMON_LLHTTP /usr/local/share/gnomon-llhttp CACHE PATH "" FORCE)
endif()
if(NOT EXISTS "${GNOMON_LLHTTP}/llhttp.c")
    message(FATAL_ERROR "llhttp is not in ${GNOMON_LLHTTP}: run deploy/install-llhttp.sh")
endif()

add_library(gnomon_llhttp STATIC "${GNOMON_LLHTTP}/api.c" "${GNOMON_LLHTTP}/http.c"
            "${GNOMON_LLHTTP}/llhttp.c")
target_include_directories(gnomon_llhttp SYSTEM PUBLIC "${GNOMON_LLHTTP}")
target_compile_options(gnomon_llhttp PRIVATE -w)
add_library(library_llhttp ALIAS gnomon_llhttp)
