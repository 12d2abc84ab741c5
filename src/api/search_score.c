#include "search_score.h"

#include <locale.h>
#include <pthread.h>
#include <string.h>
#include <wctype.h>

/* --- Characters --------------------------------------------------------------------------------
 */

static locale_t unicode; /* 0 where there is none: ASCII alone is folded */

static void find_locale(void)
{
    unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

static uint32_t lower(uint32_t character)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (character < 0x80)
        return character >= 'A' && character <= 'Z' ? character + ('a' - 'A') : character;
    pthread_once(&once, find_locale);
    return unicode == (locale_t)0 ? character : (uint32_t)towlower_l((wint_t)character, unicode);
}

/* Names and values are UTF-8; other bytes stand for themselves. */
static size_t next_character(const unsigned char *at, size_t left, uint32_t *character_out)
{
    size_t size = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : at[0] >= 0xc0 ? 2 : 1;
    if (size > left)
        size = 1;
    uint32_t character = size == 1 ? at[0] : at[0] & (0xffu >> (size + 1));
    for (size_t i = 1; i < size; i++)
        character = character << 6 | (at[i] & 0x3f);
    *character_out = character;
    return size;
}

static bool decode(struct arena *arena, struct text text, enum search_case folding,
                   struct characters *characters)
{
    if (text.size > characters->capacity) {
        characters->values = arena_array(arena, text.size * 2, sizeof *characters->values);
        if (characters->values == NULL)
            return false;
        characters->capacity = text.size * 2;
    }
    characters->count = 0;
    for (size_t at = 0; at < text.size;) {
        uint32_t character;
        at += next_character((const unsigned char *)text.data + at, text.size - at, &character);
        characters->values[characters->count++] =
            folding == SEARCH_CASE_FOLDED ? lower(character) : character;
    }
    return true;
}

static bool starts_with(const struct characters *value, const struct characters *term)
{
    return term->count <= value->count &&
           memcmp(value->values, term->values, term->count * sizeof *term->values) == 0;
}

/* --- Subsequences ------------------------------------------------------------------------------
 */

/*
 * The characters of the term in their order, from `start` on, each as early as can be. Every run of
 * neighbours counts its length squared; gaps in front and between cost their part of the value, the
 * one behind half of it. False: they are not all there.
 */
static bool score_from(const struct characters *value, const struct characters *term, size_t start,
                       double *score_out)
{
    double unit = 1.0 / (double)value->count, score = 0;
    size_t matched = 0, end = 0; /* of the latest run */
    for (size_t at = start; matched < term->count;) {
        while (at < value->count && value->values[at] != term->values[matched])
            at++;
        if (at == value->count)
            return false;
        size_t first = at;
        while (at < value->count && matched < term->count &&
               value->values[at] == term->values[matched]) {
            at++;
            matched++;
        }
        if (first > end)
            score -= (double)(first - end) * unit;
        score += (double)((at - first) * (at - first));
        end = at;
    }
    if (value->count > end)
        score -= (double)(value->count - end) * unit * 0.5;
    *score_out = score;
    return true;
}

/* Of all places to start the best. 0: it is no subsequence. */
static double score_subsequence(const struct characters *value, const struct characters *term)
{
    static const double BELOW_EXACT = 0.999; /* so that only the value itself scores 1 */
    double best = -1;
    for (size_t start = 0; start + term->count <= value->count; start++) {
        double score;
        if (value->values[start] != term->values[0])
            continue;
        if (!score_from(value, term, start, &score))
            break; /* nor from any later place */
        if (score > best)
            best = score;
    }
    return best < 0 ? 0 : best / (double)(term->count * term->count) * BELOW_EXACT;
}

/* --- Similarity --------------------------------------------------------------------------------
 */

/* Jaro and Winkler's: how many characters of one are near their place in the other, how many of
 * those changed places, and a bonus for a common prefix of up to four. */
static double score_similarity(const struct characters *left, const struct characters *right,
                               bool *marks)
{
    enum { PREFIX_MAX = 4 };
    static const double PREFIX_BONUS = 0.1;
    const struct characters *shorter = left->count <= right->count ? left : right;
    const struct characters *longer = shorter == left ? right : left;
    bool *in_shorter = marks, *in_longer = marks + shorter->count;
    size_t distance = longer->count / 2 > 0 ? longer->count / 2 - 1 : 0;
    size_t matches = 0, moved = 0, prefix = 0;
    memset(marks, 0, shorter->count + longer->count);
    for (size_t i = 0; i < shorter->count; i++) {
        size_t end = i + distance + 1 < longer->count ? i + distance + 1 : longer->count;
        for (size_t j = i > distance ? i - distance : 0; j < end; j++) {
            if (in_longer[j] || shorter->values[i] != longer->values[j])
                continue;
            in_shorter[i] = in_longer[j] = true;
            matches++;
            break;
        }
    }
    if (matches == 0)
        return 0;
    for (size_t i = 0, j = 0; i < shorter->count; i++) {
        if (!in_shorter[i])
            continue;
        while (!in_longer[j])
            j++;
        moved += shorter->values[i] != longer->values[j++];
    }
    while (prefix < PREFIX_MAX && prefix < shorter->count &&
           shorter->values[prefix] == longer->values[prefix])
        prefix++;
    double same = (double)matches;
    double jaro = (same * (1.0 / (double)shorter->count) + same * (1.0 / (double)longer->count) +
                   (same - (double)moved * 0.5) / same) /
                  3.0;
    return jaro + (double)prefix * PREFIX_BONUS * (1.0 - jaro);
}

/* Where the term stands: 1 at the start, towards 0.1 at the end. False: nowhere. */
static bool score_substring(const struct characters *value, const struct characters *term,
                            double *score_out)
{
    for (size_t at = 0; at + term->count <= value->count; at++) {
        struct characters rest = {.values = value->values + at, .count = value->count - at};
        if (!starts_with(&rest, term))
            continue;
        *score_out = at == 0 ? 1 : 1.0 - 0.9 * (double)at / (double)(value->count - term->count);
        return true;
    }
    return false;
}

/* --- Filters -----------------------------------------------------------------------------------
 */

bool search_filter_add(struct search_filter *filter, struct text term)
{
    if (term.size == 0)
        return true;
    struct characters *added = &filter->terms[filter->term_count];
    if (!decode(filter->arena, term, filter->folding, added))
        return false;
    filter->term_count++;
    return true;
}

static bool has_marks(struct search_filter *filter, size_t count)
{
    if (count > filter->mark_capacity) {
        filter->marks = arena_array(filter->arena, count * 2, sizeof *filter->marks);
        filter->mark_capacity = filter->marks == NULL ? 0 : count * 2;
        filter->out_of_memory |= filter->marks == NULL;
    }
    return filter->marks != NULL;
}

static bool term_accepts(struct search_filter *filter, const struct characters *term,
                         double *score_out)
{
    const struct characters *value = &filter->value;
    if (filter->algorithm == SEARCH_SUBSEQUENCE) {
        *score_out = starts_with(value, term) ? 1 : score_subsequence(value, term);
        return *score_out > 0 && *score_out >= filter->threshold;
    }
    if (score_substring(value, term, score_out))
        return true;
    if (!(filter->threshold > 0) || value->count == 0 ||
        !has_marks(filter, value->count + term->count))
        return false;
    *score_out = score_similarity(value, term, filter->marks);
    return *score_out >= filter->threshold;
}

bool search_filter_accepts(struct search_filter *filter, struct text value, double *score_out)
{
    *score_out = filter->term_count == 0 ? 1 : 0;
    if (filter->term_count == 0)
        return true;
    if (!decode(filter->arena, value, filter->folding, &filter->value)) {
        filter->out_of_memory = true;
        return false;
    }
    bool accepted = false;
    for (size_t i = 0; i < filter->term_count && *score_out < 1; i++) {
        double score;
        if (!term_accepts(filter, &filter->terms[i], &score))
            continue;
        accepted = true;
        if (score > *score_out)
            *score_out = score;
    }
    return accepted;
}
