# The simulation reaches the shard as the server does: writes through replica, group and journal,
# queries through the frontend.
target_link_libraries(shard_simulation PRIVATE gnomon_replica gnomon_frontend)

# Half of the seeds each, so that two processors share them.
add_test(NAME simulation/shard_simulation_second_half
         COMMAND shard_simulation --first 151 --seeds 150)
set_tests_properties(simulation/shard_simulation_second_half PROPERTIES TIMEOUT 600
                     LABELS simulation)

# Without syncs acknowledged samples are lost, and that must be noticed: the output decides.
foreach(broken sync journal files names)
    add_test(NAME "simulation/shard_without_${broken}"
             COMMAND shard_simulation --break ${broken} --seeds 40)
    set_tests_properties("simulation/shard_without_${broken}" PROPERTIES
                         PASS_REGULAR_EXPRESSION "FAILED: seed [0-9]+: " TIMEOUT 600
                         LABELS simulation ENVIRONMENT "ASAN_OPTIONS=detect_leaks=0")
endforeach()
