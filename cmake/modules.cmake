# One static library per module: `gnomon_module(codec FLOOR 2 DEPENDS base model LIBRARIES zstd)`
# compiles src/codec/**/*.c into the target `gnomon_codec`. The floors are checked here
# for targets and by tests/tidy/check_floors.py for includes.
function(gnomon_module name)
    cmake_parse_arguments(MODULE "" "FLOOR" "DEPENDS;LIBRARIES" ${ARGN})
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.c"
         "${CMAKE_CURRENT_SOURCE_DIR}/*.cc")
    set(target gnomon_${name})
    if(NOT sources)
        add_library(${target} INTERFACE) # headers only, so far
        target_include_directories(${target} INTERFACE "${PROJECT_SOURCE_DIR}/include")
        return()
    endif()
    add_library(${target} STATIC ${sources})
    set_target_properties(${target} PROPERTIES LINKER_LANGUAGE C GNOMON_FLOOR ${MODULE_FLOOR})
    target_include_directories(${target} PUBLIC "${PROJECT_SOURCE_DIR}/include"
                               PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}")
    foreach(dependency IN LISTS MODULE_DEPENDS)
        target_link_libraries(${target} PUBLIC gnomon_${dependency})
    endforeach()
    foreach(library IN LISTS MODULE_LIBRARIES)
        target_link_libraries(${target} PUBLIC library_${library})
    endforeach()
    target_link_libraries(${target} PUBLIC Threads::Threads m)
endfunction()

# Each folder with a CMakeLists.txt below the given ones is a module.
function(add_module_directories)
    foreach(parent IN LISTS ARGN)
        file(GLOB folders CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${parent}/*/CMakeLists.txt")
        foreach(file IN LISTS folders)
            get_filename_component(folder "${file}" DIRECTORY)
            add_subdirectory("${folder}")
        endforeach()
    endforeach()
endfunction()
