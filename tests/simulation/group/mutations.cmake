# What is left out must be noticed, and for the right reason: the output decides, not the exit
# code.
function(group_mutation name program expected)
    add_test(NAME "simulation/group_without_${name}" COMMAND ${program} --until-failure ${ARGN})
    set_tests_properties("simulation/group_without_${name}" PROPERTIES
                         PASS_REGULAR_EXPRESSION "${expected}" TIMEOUT 600
                         LABELS simulation ENVIRONMENT "ASAN_OPTIONS=detect_leaks=0")
endfunction()

group_mutation(sync group_simulation_journal_on_disk "seed [0-9]+: node [0-9]+( has| applied|: 'journal)"
               --lying --nodes=1 --seeds=1-40)
# Rules of docs/decisions/0023-own-consensus.md (enum consensus_rule); the seeds begin near the first
# that notices.
set(noticed "seed [0-9]+: |consensus crashed")
function(group_rule_mutation name rule nodes seeds)
    group_mutation(${name} group_simulation_journal_in_memory "${noticed}"
                   --without-rule=${rule} --nodes=${nodes} --seeds=${seeds} --only-duels)
endfunction()

group_rule_mutation(answering_only_what_matched 1 2 610-4000)
group_rule_mutation(answering_only_what_is_stored 2 2 1-100)
group_rule_mutation(matching_the_leader_of_this_term 3 2 610-4000)
group_rule_mutation(one_vote_a_term 5 2 1-100)
group_rule_mutation(durable_votes 6 3 600-4000)
group_rule_mutation(votes_for_complete_logs 7 3 1-100)
group_rule_mutation(voiding_truncated_writes 8 3 1-100)
group_rule_mutation(rolling_members_back 9 3 1-2000)
group_rule_mutation(votes_without_a_vote 13 5 40-2000)
group_rule_mutation(new_term_alone 14 3 300-4000)
group_rule_mutation(pre_votes_that_tell_the_term 15 2 330-3000)
group_rule_mutation(installing_only_when_behind 16 5 190-2000)

# What chance does not bring about in thousands of seeds (group_scripts.h): each script passes, and
# fails without its rule.
function(group_script script rule)
    set(run group_simulation_journal_in_memory --script=${script} --seeds=1-40)
    add_test(NAME simulation/group_script_${script} COMMAND ${run})
    set_tests_properties(simulation/group_script_${script} PROPERTIES TIMEOUT 300 LABELS simulation)
    group_mutation(rule_of_${script} group_simulation_journal_in_memory "${noticed}"
                   --script=${script} --seeds=1-40 --without-rule=${rule})
endfunction()

group_script(late_answer 3)
group_script(former_entry 4)
group_script(two_changes 10)
group_script(early_change 11)
group_script(own_demotion 12)
group_script(low_term 15)
group_script(forced 18)
group_mutation(comparing_across_eras group_simulation_journal_in_memory "${noticed}"
               --script=forced --seeds=1-40 --without-rule=19)

# Entries that are cut off and come again while their first write is under way.
add_test(NAME simulation/group_script_written_twice
         COMMAND group_simulation_journal_in_memory --script=written_twice --seeds=1-40)
set_tests_properties(simulation/group_script_written_twice PROPERTIES TIMEOUT 300 LABELS simulation)
