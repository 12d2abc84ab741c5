# Seeds that once failed. 38950: a segment whose first batch was torn, before another whose checkpoint
# listed it: both writes had been in flight, and recovery took it for damage.
foreach(seed 38950)
    add_test(NAME simulation/journal_seed_${seed}
             COMMAND journal_simulation --first ${seed} --seeds 1)
    set_tests_properties(simulation/journal_seed_${seed} PROPERTIES TIMEOUT 300 LABELS simulation)
endforeach()

# Each kind of sync left out must be noticed: the output decides.
foreach(broken sync journal headers names recovery)
    add_test(NAME simulation/journal_without_${broken}
             COMMAND journal_simulation --break ${broken} --seeds 200)
    set_tests_properties(simulation/journal_without_${broken} PROPERTIES
                         PASS_REGULAR_EXPRESSION "FAILED: seed [0-9]+: " TIMEOUT 300
                         LABELS simulation ENVIRONMENT "ASAN_OPTIONS=detect_leaks=0")
endforeach()
