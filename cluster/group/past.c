/*
 * past - what consensus knows of the log below its base after a start.
 *
 * A snapshot tells members and term at its index S and at the frozen index L; the entries between
 * go by when they are replayed. So peers that are in between, or at L, can be sent what the journal
 * has, and L can be offered to those before it.
 */
#include <stdlib.h>

#include "group_private.h"

static void note_members(struct group_past *past, const struct journal_entry *record)
{
    struct consensus_members *memberships =
        realloc(past->memberships, (past->membership_count + 1) * sizeof *memberships);
    struct byte_reader reader = byte_reader_over(record->payload, record->payload_bytes);
    struct error error;
    if (memberships == NULL) {
        past->is_broken = true;
        return;
    }
    past->memberships = memberships;
    struct consensus_members *last = &memberships[past->membership_count];
    last->index = record->index;
    if (membership_decode(&reader, &last->membership, &error) == ERROR_NONE)
        past->membership_count++;
    else
        past->is_broken = true; /* the start would have failed on it, were it above the base */
}

static void note_term(struct group_past *past, uint64_t index, uint64_t term)
{
    if (past->term_count > 0 && past->terms[past->term_count - 1].term == term)
        return;
    if (past->term_count == past->term_capacity) {
        size_t capacity = past->term_capacity * 2 + 4;
        struct consensus_term *terms = realloc(past->terms, capacity * sizeof *terms);
        if (terms == NULL) {
            past->is_broken = true;
            return;
        }
        past->terms = terms;
        past->term_capacity = capacity;
    }
    past->terms[past->term_count++] = (struct consensus_term){.first_index = index, .term = term};
}

void group_past_note(struct group *group, const struct journal_entry *record)
{
    struct group_past *past = &group->past;
    if (past->is_broken)
        return;
    note_term(past, record->index, record->term);
    if (!past->is_broken && record->kind == CONSENSUS_MEMBERSHIP)
        note_members(past, record);
}

/* What the snapshot says of its frozen index, before all that was noted. */
static bool put_frozen_first(struct group *group, const struct snapshot_view *view)
{
    struct group_past *past = &group->past;
    const struct snapshot_header *header = &view->header;
    uint64_t frozen_index = header->position.frozen_index;
    struct consensus_term *terms = malloc((past->term_count + 1) * sizeof *terms);
    struct consensus_members *memberships =
        malloc((past->membership_count + 1) * sizeof *memberships);
    if (terms == NULL || memberships == NULL) {
        free(terms);
        free(memberships);
        return false;
    }
    terms[0] = (struct consensus_term){.first_index = frozen_index, .term = header->frozen_term};
    memberships[0] = (struct consensus_members){.index = header->frozen_membership_index,
                                                .membership = view->frozen_membership};
    for (size_t i = 0; i < past->term_count; i++)
        terms[i + 1] = past->terms[i];
    for (size_t i = 0; i < past->membership_count; i++)
        memberships[i + 1] = past->memberships[i];
    free(past->terms);
    free(past->memberships);
    past->terms = terms;
    past->memberships = memberships;
    past->term_count++;
    past->membership_count++;
    return true;
}

void group_past_recall(struct group *group)
{
    struct group_past *past = &group->past;
    struct snapshot_view view;
    struct error error;
    bool known = !past->is_broken && snapshot_decode(group->snapshot_bytes, group->snapshot_size,
                                                     &view, &error) == ERROR_NONE;
    /* All of the log, or from an index on that the snapshot tells of. */
    uint64_t frozen_index = known ? view.header.position.frozen_index : 0;
    if (known && frozen_index > 0)
        known = view.header.frozen_term > 0 && put_frozen_first(group, &view);
    if (known) {
        struct consensus_past recalled = {
            .index = frozen_index,
            .terms = past->terms,
            .term_count = past->term_count,
            .memberships = past->memberships,
            .membership_count = past->membership_count,
        };
        consensus_recall(group->consensus, &recalled);
    }
    group_past_clear(group);
}

void group_past_clear(struct group *group)
{
    free(group->past.terms);
    free(group->past.memberships);
    group->past = (struct group_past){0};
}
