# What comes from Debian's packages; deploy/install-dependencies.sh installs it.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

function(require_library name package)
    pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${package})
    add_library(library_${name} INTERFACE)
    target_link_libraries(library_${name} INTERFACE PkgConfig::${name})
endfunction()

require_library(uv libuv)
require_library(uring liburing)
require_library(zstd libzstd)
require_library(openssl openssl)
require_library(curl libcurl)
require_library(re2 re2)
require_library(yaml yaml-0.1)
require_library(jansson jansson)
require_library(xxhash libxxhash)
require_library(jemalloc jemalloc)

# Neither snappy nor cmocka ships a usable pkg-config file in Debian 12.
add_library(library_snappy INTERFACE)
target_link_libraries(library_snappy INTERFACE snappy)
add_library(library_cmocka INTERFACE)
target_link_libraries(library_cmocka INTERFACE cmocka)
