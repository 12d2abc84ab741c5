# Files go from node to node by the real transfer, in half of the seeds.
target_link_libraries(replica_simulation PRIVATE gnomon_transfer)
