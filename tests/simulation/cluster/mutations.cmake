# A node as the server wires it, without what speaks HTTP.
target_link_libraries(cluster_simulation PRIVATE gnomon_hosting gnomon_routing)

# More seeds than the program runs by itself, in parts that processors share; in a hundred everything
# must have happened.
set(cluster_parts "")
if(NOT GNOMON_SANITIZE)
    set(cluster_parts 101-200 201-300)
endif()
foreach(part IN LISTS cluster_parts)
    add_test(NAME simulation/cluster_simulation_${part} COMMAND cluster_simulation --seeds=${part})
    set_tests_properties(simulation/cluster_simulation_${part} PROPERTIES TIMEOUT 600
                         LABELS simulation)
endforeach()
