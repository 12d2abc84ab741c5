# The simulation reaches the shard as the server does: writes through replica, group and journal,
# queries through the frontend.
target_link_libraries(shard_simulation PRIVATE gnomon_replica gnomon_frontend)

# More seeds than the program runs by itself, in parts that two processors share. A seed costs five
# times as much with sanitizers, and the release build runs hundreds in the same command.
set(shard_parts 1001)
if(NOT GNOMON_SANITIZE)
    list(APPEND shard_parts 2001 3001 4001 5001 6001)
endif()
foreach(first IN LISTS shard_parts)
    add_test(NAME simulation/shard_simulation_from_${first}
             COMMAND shard_simulation --first ${first} --seeds 60)
    set_tests_properties(simulation/shard_simulation_from_${first} PROPERTIES TIMEOUT 600
                         LABELS simulation)
endforeach()

# Without a sync something acknowledged is lost or cannot be read, and that must be noticed: the
# output decides.
function(shard_mutation name)
    add_test(NAME "simulation/shard_without_${name}" COMMAND shard_simulation --seeds 40 ${ARGN})
    set_tests_properties("simulation/shard_without_${name}" PROPERTIES
                         PASS_REGULAR_EXPRESSION "FAILED: seed [0-9]+: " TIMEOUT 600
                         LABELS simulation ENVIRONMENT "ASAN_OPTIONS=detect_leaks=0")
endfunction()

shard_mutation(sync --without-sync)
shard_mutation(journal_sync --without-journal-sync)
foreach(kind parts series blocks metadata)
    shard_mutation(sync_of_${kind} --without-sync-of /${kind}/)
    shard_mutation(sync_of_names_of_${kind} --without-directory-sync-of /${kind})
endforeach()
