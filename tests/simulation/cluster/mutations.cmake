# A node as the server wires it, without what speaks HTTP.
target_link_libraries(cluster_simulation PRIVATE gnomon_hosting gnomon_routing)
