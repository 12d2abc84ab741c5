# A node as the server wires it, without what speaks HTTP.
target_link_libraries(cluster_simulation PRIVATE gnomon_hosting gnomon_routing)

# More seeds than the program runs by itself, in parts that processors share.
set(cluster_parts 101)
if(NOT GNOMON_SANITIZE)
    list(APPEND cluster_parts 201 301)
endif()
foreach(first IN LISTS cluster_parts)
    math(EXPR last "${first} + 49")
    add_test(NAME simulation/cluster_simulation_from_${first}
             COMMAND cluster_simulation --seeds=${first}-${last})
    set_tests_properties(simulation/cluster_simulation_from_${first} PROPERTIES TIMEOUT 600
                         LABELS simulation)
endforeach()
