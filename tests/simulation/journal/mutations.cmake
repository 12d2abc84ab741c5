# Seeds that once failed. 38950: a segment whose first batch was torn, before another whose checkpoint
# listed it: both writes had been in flight, and recovery took it for damage.
foreach(seed 38950)
    add_test(NAME simulation/journal_seed_${seed}
             COMMAND journal_simulation --first ${seed} --seeds 1)
    set_tests_properties(simulation/journal_seed_${seed} PROPERTIES TIMEOUT 300 LABELS simulation)
endforeach()
