/*
 * symbol_alias - the identity of a label set of 2.0, which names its labels by numbers of symbols
 * that are others in each request. Private to wire.
 *
 * Each symbol is hashed once a request, with a secret seed. The alias of a label set is then the
 * sum of these hashes, each times a secret factor of its place: multilinear hashing (Lemire and
 * Kaser, "Strongly universal string hashing is fast", 2014), twice, for 128 bits. The products do
 * not wait for each other, which a hash over the bytes of the hashes would make them do.
 */
#ifndef WIRE_SYMBOL_ALIAS_H
#define WIRE_SYMBOL_ALIAS_H

#include "protobuf.h"
#include "wire/remote_write.h"

/* Factors for 32 labels; what comes behind them is hashed one after the other. */
enum { SYMBOL_ALIAS_FACTORS = 64 };

/* Both halves apart: a compiler that sees them side by side multiplies in vectors, which have no
 * such product. */
struct symbol_alias {
    uint64_t low_factors[SYMBOL_ALIAS_FACTORS];
    uint64_t high_factors[SYMBOL_ALIAS_FACTORS];
    uint64_t *low;  /* [count] hashes in the arena, by symbol; NULL: not made yet */
    uint64_t *high; /* [count] */
    size_t count;
    uint64_t seed;
};

/* For the symbols that the request has by now. False when memory is out. */
bool symbol_alias_init(struct symbol_alias *alias, const struct write_request *request,
                       uint64_t seed, struct arena *arena);

enum reference_status {
    REFERENCES_VALID,
    REFERENCES_OUTSIDE,  /* one is no symbol of the request: there is no alias */
    REFERENCES_MALFORMED /* the bytes are no references */
};

/* Walk the references of a label set; the alias is written when they are valid. */
enum reference_status symbol_alias_of(const struct symbol_alias *alias,
                                      const struct write_labels *labels, struct hash128 *alias_out);

/* The next of packed references. One beyond 32 bits is outside any symbol table, and stays so.
 * There must be one more byte; a malformed one sets `failed`. */
static inline uint32_t reference_next(struct byte_reader *packed)
{
    uint64_t reference = byte_reader_varint(packed);
    return reference > UINT32_MAX ? UINT32_MAX : (uint32_t)reference;
}

#endif
