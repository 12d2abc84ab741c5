/*
 * state_version - what the versions of the state machines mean.
 *
 * One number for a cluster: in force in its meta group, and from there in the log of each shard.
 * What applying an entry does may depend on the version that the log has come to, and on nothing of
 * the program. A program applies all versions from the first to the newest that it knows, and
 * writes what the version in force has: so nodes can be replaced one by one, and go back, until all
 * of them know the next one (docs/decisions/0062).
 *
 * Whoever changes what an entry does, or what a snapshot holds, adds a version here, keeps what was
 * for the versions before, and moves STATE_VERSION_REHEARSAL up.
 */
#ifndef BASE_STATE_VERSION_H
#define BASE_STATE_VERSION_H

enum {
    STATE_VERSION_FIRST = 1,
    /* Shards keep which entry changed each window of two hours last (docs/decisions/0063);
     * manifests are of format 3. */
    STATE_VERSION_WINDOWS = 2,
    STATE_VERSION_SPLITS = 2, /* shards can be split (docs/decisions/0061) */
    /* Shards know what of them is in the bucket (docs/decisions/0070); manifests are of format 4.
     */
    STATE_VERSION_BUCKET = 3,
    /* The newest that this source writes and knows. */
    STATE_VERSION_MAX = STATE_VERSION_BUCKET,

    /* Of no release: the upgrade to the release after this one is rehearsed with it. Shards count
     * the writes that they apply, and manifests have that number at their end. */
    STATE_VERSION_REHEARSAL = STATE_VERSION_MAX + 1,
};

#endif
