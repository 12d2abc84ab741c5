#include "model/replacement.h"

#include <assert.h>
#include <stdlib.h>

#include "regex_re2.h"

/* More groups than any rule has; what lies beyond is refused. */
enum { GROUPS_MAX = 100 };

struct replacement {
    struct regex_re2 *regex;
    size_t group_count; /* the whole match included */
    size_t template_size;
    char template_bytes[];
};

enum error_code replacement_create(struct text expression, struct text replacement_template,
                                   struct replacement **replacement_out, struct error *error)
{
    struct replacement *replacement = malloc(sizeof *replacement + replacement_template.size + 1);
    if (replacement == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "replacement");
    *replacement = (struct replacement){.template_size = replacement_template.size};
    if (replacement_template.size > 0)
        memcpy(replacement->template_bytes, replacement_template.data, replacement_template.size);
    enum error_code code =
        regex_re2_create_capturing(expression.data, expression.size, &replacement->regex, error);
    if (code == ERROR_NONE) {
        replacement->group_count = regex_re2_group_count(replacement->regex) + 1;
        if (replacement->group_count > GROUPS_MAX)
            code = error_set(error, ERROR_LIMIT, "regular expression with more than %d groups",
                             GROUPS_MAX - 1);
    }
    if (code != ERROR_NONE) {
        replacement_destroy(replacement);
        return code;
    }
    *replacement_out = replacement;
    return ERROR_NONE;
}

void replacement_destroy(struct replacement *replacement)
{
    if (replacement == NULL)
        return;
    regex_re2_destroy(replacement->regex);
    free(replacement);
}

static bool is_name_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '_';
}

/* The group that `name` means: a number, or a named group; GROUPS_MAX: none. */
static size_t group_number(const struct replacement *replacement, struct text name)
{
    uint64_t number;
    bool is_number = name.size > 0;
    for (size_t i = 0; i < name.size; i++)
        is_number &= name.data[i] >= '0' && name.data[i] <= '9';
    if (is_number)
        return text_to_uint64(name, &number) && number < replacement->group_count ? number
                                                                                  : GROUPS_MAX;
    int group = regex_re2_group_number(replacement->regex, name.data, name.size);
    return group < 0 ? GROUPS_MAX : (size_t)group;
}

/* The name after a '$', with or without braces; false when there is none. */
static bool take_name(struct text *rest, struct text *name_out)
{
    struct text text = *rest;
    bool has_braces = text.size > 0 && text.data[0] == '{';
    size_t start = has_braces ? 1 : 0;
    size_t end = start;
    while (end < text.size && is_name_byte(text.data[end]))
        end++;
    if (end == start || (has_braces && (end == text.size || text.data[end] != '}')))
        return false;
    *name_out = (struct text){text.data + start, end - start};
    size_t used = has_braces ? end + 1 : end;
    *rest = (struct text){text.data + used, text.size - used};
    return true;
}

bool replacement_apply(const struct replacement *replacement, struct text value,
                       struct byte_buffer *result)
{
    struct regex_capture groups[GROUPS_MAX];
    if (!regex_re2_capture(replacement->regex, value.data, value.size, groups,
                           replacement->group_count))
        return false;
    struct text rest = {replacement->template_bytes, replacement->template_size};
    struct text before;
    struct text after;
    while (text_split(rest, '$', &before, &after)) {
        byte_buffer_append(result, before.data, before.size);
        rest = after;
        struct text name;
        if (rest.size > 0 && rest.data[0] == '$') {
            byte_buffer_u8(result, '$');
            rest = (struct text){rest.data + 1, rest.size - 1};
        } else if (take_name(&rest, &name)) {
            size_t group = group_number(replacement, name);
            if (group < replacement->group_count)
                byte_buffer_append(result, groups[group].start, groups[group].size);
        } else {
            byte_buffer_u8(result, '$'); /* malformed: Go leaves it as it is */
        }
    }
    byte_buffer_append(result, rest.data, rest.size);
    return true;
}
