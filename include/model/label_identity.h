/*
 * label_identity - a number that tells sets of labels apart, without the labels.
 *
 * The sum of seeded 128-bit hashes of the pairs, so that whoever numbers pairs needs the hash of
 * each once and no text of a series. Equal labels have equal identities everywhere in this process;
 * others differ but for a chance of 2^-128 a pair of series. The seed is random: nothing of it is
 * stored.
 */
#ifndef MODEL_LABEL_IDENTITY_H
#define MODEL_LABEL_IDENTITY_H

#include "base/checksum.h"
#include "base/text.h"
#include "model/labels.h"

/* Of one pair as it stands in canonical labels. Any thread. */
struct hash128 label_pair_identity(struct text encoded);

static inline void label_identity_add(struct hash128 *identity, struct hash128 pair)
{
    identity->low += pair.low;
    identity->high += pair.high;
}

/* Of a whole set: the sum over its pairs. */
struct hash128 labels_identity(struct labels labels);

#endif
