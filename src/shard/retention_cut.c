#include "retention_cut.h"

/* --- Life ----------------------------------------------------------------------------------- */

void retention_cut_ref(const struct retention_cut *cut)
{
    retention_policy_ref(cut->policy);
    retention_policy_ref(cut->announced);
}

void retention_cut_clear(struct retention_cut *cut)
{
    retention_policy_unref(cut->policy);
    retention_policy_unref(cut->announced);
    *cut = RETENTION_CUT_NONE;
}

/* --- Questions ------------------------------------------------------------------------------ */

static int64_t longer_of(int64_t left, int64_t right)
{
    return left > right ? left : right;
}

int64_t retention_before(int64_t at_ms, int64_t keep_ms)
{
    return keep_ms == RETENTION_FOR_EVER || at_ms < INT64_MIN + keep_ms ? INT64_MIN
                                                                        : at_ms - keep_ms;
}

static bool cuts(const struct retention_cut *cut)
{
    return cut->policy != NULL && cut->at_ms != INT64_MIN &&
           retention_policy_rule_count(cut->policy) > 0;
}

bool retention_cut_equal(const struct retention_cut *left, const struct retention_cut *right)
{
    if (cuts(left) != cuts(right))
        return false;
    return !cuts(left) ||
           (left->at_ms == right->at_ms && retention_policy_equal(left->policy, right->policy) &&
            retention_policy_equal(left->announced, right->announced));
}

bool retention_cut_reaches(const struct retention_cut *cut, int64_t from_ms)
{
    return cuts(cut) &&
           from_ms < retention_before(cut->at_ms, retention_policy_shortest_ms(cut->policy));
}

int64_t retention_cut_of(const struct retention_cut *cut, struct text tenant, struct labels labels)
{
    if (!cuts(cut))
        return INT64_MIN;
    int64_t keep_ms = retention_policy_keep_ms(cut->policy, tenant, labels);
    if (cut->announced != NULL)
        keep_ms = longer_of(keep_ms, retention_policy_keep_ms(cut->announced, tenant, labels));
    return retention_before(cut->at_ms, keep_ms);
}

int64_t retention_cut_longest_ms(const struct retention_cut *cut)
{
    if (cut->policy == NULL)
        return RETENTION_FOR_EVER;
    int64_t longest_ms = retention_policy_longest_ms(cut->policy);
    return cut->announced == NULL
               ? longest_ms
               : longer_of(longest_ms, retention_policy_longest_ms(cut->announced));
}

int64_t retention_cut_shortest_ms(const struct retention_cut *cut)
{
    return cut->policy == NULL ? RETENTION_FOR_EVER : retention_policy_shortest_ms(cut->policy);
}

/* --- Bytes ---------------------------------------------------------------------------------- */

enum { HAS_POLICY = 1, HAS_ANNOUNCED = 2, HAS_TIME = 4, KNOWN = 7 };

void retention_cut_encode(const struct retention_cut *cut, struct byte_buffer *buffer)
{
    byte_buffer_u8(buffer, (uint8_t)((cut->policy != NULL ? HAS_POLICY : 0) |
                                     (cut->announced != NULL ? HAS_ANNOUNCED : 0) |
                                     (cut->at_ms != INT64_MIN ? HAS_TIME : 0)));
    if (cut->policy != NULL)
        retention_policy_encode(cut->policy, buffer);
    if (cut->announced != NULL) {
        retention_policy_encode(cut->announced, buffer);
        byte_buffer_zigzag(buffer, cut->announced_ms);
    }
    if (cut->at_ms != INT64_MIN)
        byte_buffer_zigzag(buffer, cut->at_ms);
}

static enum error_code decode_parts(struct byte_reader *reader, uint8_t flags,
                                    struct retention_cut *cut, struct error *error)
{
    enum error_code code = ERROR_NONE;
    if ((flags & HAS_POLICY) != 0)
        code = retention_policy_decode(reader, &cut->policy, error);
    if (code == ERROR_NONE && (flags & HAS_ANNOUNCED) != 0) {
        code = retention_policy_decode(reader, &cut->announced, error);
        cut->announced_ms = byte_reader_zigzag(reader);
    }
    if (code == ERROR_NONE && (flags & HAS_TIME) != 0)
        cut->at_ms = byte_reader_zigzag(reader);
    if (code == ERROR_NONE && reader->failed)
        code = error_set(error, ERROR_CORRUPT, "retention: cut");
    return code;
}

enum error_code retention_cut_decode(struct byte_reader *reader, struct retention_cut *cut_out,
                                     struct error *error)
{
    struct retention_cut cut = RETENTION_CUT_NONE;
    uint8_t flags = byte_reader_u8(reader);
    if (reader->failed || (flags & ~KNOWN) != 0 ||
        (flags & (HAS_POLICY | HAS_ANNOUNCED)) == HAS_ANNOUNCED)
        return error_set(error, ERROR_CORRUPT, "retention: its flags");
    enum error_code code = decode_parts(reader, flags, &cut, error);
    if (code != ERROR_NONE) {
        retention_cut_clear(&cut);
        return code;
    }
    *cut_out = cut;
    return ERROR_NONE;
}
