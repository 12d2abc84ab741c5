# The simulation reaches the shard as the server does: through replica, group and journal.
target_link_libraries(shard_simulation PRIVATE gnomon_replica)

# Without syncs acknowledged samples are lost, and that must be noticed: the output decides.
foreach(broken sync journal)
    add_test(NAME "simulation/shard_without_${broken}"
             COMMAND shard_simulation --break ${broken} --seeds 40)
    set_tests_properties("simulation/shard_without_${broken}" PROPERTIES
                         PASS_REGULAR_EXPRESSION "FAILED: seed [0-9]+: " TIMEOUT 600
                         LABELS simulation ENVIRONMENT "ASAN_OPTIONS=detect_leaks=0")
endforeach()
