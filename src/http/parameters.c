#include "http/parameters.h"

#include <assert.h>
#include <string.h>

/* --- Escapes ----------------------------------------------------------------------------- */

enum plus { PLUS_IS_PLUS, PLUS_IS_SPACE };

static int hex_digit(char character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    if (character >= 'a' && character <= 'f')
        return character - 'a' + 10;
    if (character >= 'A' && character <= 'F')
        return character - 'A' + 10;
    return -1;
}

static bool has_escapes(struct text encoded, enum plus plus)
{
    if (encoded.size == 0)
        return false;
    return memchr(encoded.data, '%', encoded.size) != NULL ||
           (plus == PLUS_IS_SPACE && memchr(encoded.data, '+', encoded.size) != NULL);
}

static enum error_code decode(struct text encoded, enum plus plus, struct arena *arena,
                              struct text *decoded_out, struct error *error)
{
    if (!has_escapes(encoded, plus)) {
        *decoded_out = encoded;
        return ERROR_NONE;
    }
    char *decoded = arena_allocate(arena, encoded.size);
    if (decoded == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "parameters: out of memory");
    size_t size = 0;
    for (size_t i = 0; i < encoded.size; i++) {
        char character = encoded.data[i];
        if (character == '+' && plus == PLUS_IS_SPACE)
            character = ' ';
        if (character == '%') {
            int high = encoded.size - i > 2 ? hex_digit(encoded.data[i + 1]) : -1;
            int low = encoded.size - i > 2 ? hex_digit(encoded.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return error_set(error, ERROR_INVALID, "invalid URL escape at byte %zu", i);
            character = (char)(high << 4 | low);
            i += 2;
        }
        decoded[size++] = character;
    }
    *decoded_out = (struct text){.data = decoded, .size = size};
    return ERROR_NONE;
}

enum error_code http_percent_decode(struct text encoded, struct arena *arena,
                                    struct text *decoded_out, struct error *error)
{
    return decode(encoded, PLUS_IS_PLUS, arena, decoded_out, error);
}

/* --- Lists ------------------------------------------------------------------------------- */

static size_t count_pairs(struct text encoded)
{
    size_t count = 0;
    struct text pair;
    while (encoded.size > 0) {
        text_split(encoded, '&', &pair, &encoded);
        if (pair.size > 0)
            count++;
    }
    return count;
}

static enum error_code decode_pair(struct text pair, struct arena *arena,
                                   struct http_parameter *parameter_out, struct error *error)
{
    if (memchr(pair.data, ';', pair.size) != NULL)
        return error_set(error, ERROR_INVALID, "invalid semicolon separator in query");
    struct text name, value;
    text_split(pair, '=', &name, &value);
    enum error_code code = decode(name, PLUS_IS_SPACE, arena, &parameter_out->name, error);
    if (code != ERROR_NONE)
        return code;
    return decode(value, PLUS_IS_SPACE, arena, &parameter_out->value, error);
}

enum error_code http_parameters_decode(struct text encoded, struct arena *arena,
                                       struct http_parameters *parameters_out, struct error *error)
{
    assert(arena != NULL && parameters_out != NULL);
    size_t count = count_pairs(encoded);
    if (count > HTTP_PARAMETERS_MAX)
        return error_set(error, ERROR_LIMIT, "%zu parameters, at most %d", count,
                         HTTP_PARAMETERS_MAX);
    struct http_parameter *entries = arena_array(arena, count, sizeof *entries);
    if (entries == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "parameters: out of memory");
    size_t filled = 0;
    while (encoded.size > 0) {
        struct text pair;
        text_split(encoded, '&', &pair, &encoded);
        if (pair.size == 0)
            continue;
        assert(filled < count);
        enum error_code code = decode_pair(pair, arena, &entries[filled++], error);
        if (code != ERROR_NONE)
            return code;
    }
    assert(filled == count);
    *parameters_out = (struct http_parameters){.entries = entries, .count = count};
    return ERROR_NONE;
}

enum error_code http_parameters_join(struct http_parameters first, struct http_parameters second,
                                     struct arena *arena, struct http_parameters *parameters_out,
                                     struct error *error)
{
    if (first.count == 0 || second.count == 0) {
        *parameters_out = first.count == 0 ? second : first;
        return ERROR_NONE;
    }
    size_t count = first.count + second.count;
    struct http_parameter *entries = arena_array(arena, count, sizeof *entries);
    if (entries == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "parameters: out of memory");
    memcpy(entries, first.entries, first.count * sizeof *entries);
    memcpy(entries + first.count, second.entries, second.count * sizeof *entries);
    *parameters_out = (struct http_parameters){.entries = entries, .count = count};
    return ERROR_NONE;
}

bool http_parameters_find(const struct http_parameters *parameters, struct text name,
                          struct text *value_out)
{
    size_t position = 0;
    if (http_parameters_next(parameters, name, &position, value_out))
        return true;
    *value_out = (struct text){0};
    return false;
}

bool http_parameters_next(const struct http_parameters *parameters, struct text name,
                          size_t *position, struct text *value_out)
{
    while (*position < parameters->count) {
        const struct http_parameter *entry = &parameters->entries[(*position)++];
        if (text_equal(entry->name, name)) {
            *value_out = entry->value;
            return true;
        }
    }
    return false;
}
