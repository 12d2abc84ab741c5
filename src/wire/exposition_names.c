/* What a scraper accepts, and names as it can read them (Prometheus' model.EscapeName). */
#include "exposition_names.h"

#include <stdio.h>
#include <string.h>

#include "model/labels.h"

/* --- Accept ----------------------------------------------------------------------------------- */

static const char *const ESCAPINGS[EXPOSITION_ESCAPINGS] = {
    [EXPOSITION_UNDERSCORES] = "underscores",
    [EXPOSITION_DOTS] = "dots",
    [EXPOSITION_VALUES] = "values",
    [EXPOSITION_UTF8] = "allow-utf-8",
};

/* One range of an Accept header. */
struct offer {
    struct exposition_form form;
    double weight;
    bool is_ours;
};

static bool next_parameter(struct text *rest, struct text *name, struct text *value)
{
    struct text parameter;
    if (rest->size == 0)
        return false;
    text_split(*rest, ';', &parameter, rest);
    text_split(parameter, '=', name, value);
    *name = text_trim(*name);
    *value = text_trim(*value);
    return true;
}

static struct offer read_offer(struct text range)
{
    struct offer offer = {.weight = 1};
    struct text type, rest, name, value, version = {0}, proto = {0}, encoding = {0};
    text_split(range, ';', &type, &rest);
    type = text_trim(type);
    while (next_parameter(&rest, &name, &value)) {
        if (text_equal(name, TEXT("q")) && !text_to_double(value, &offer.weight))
            offer.weight = 0;
        else if (text_equal(name, TEXT("version")))
            version = value;
        else if (text_equal(name, TEXT("proto")))
            proto = value;
        else if (text_equal(name, TEXT("encoding")))
            encoding = value;
        for (int i = 0; text_equal(name, TEXT("escaping")) && i < EXPOSITION_ESCAPINGS; i++)
            if (text_equal(value, text_of(ESCAPINGS[i])))
                offer.form.escaping = (enum exposition_escaping)i;
    }
    if (text_equal(type, TEXT("application/vnd.google.protobuf"))) {
        offer.form.format = EXPOSITION_PROTOBUF;
        offer.is_ours = text_equal(proto, TEXT("io.prometheus.client.MetricFamily")) &&
                        text_equal(encoding, TEXT("delimited"));
    } else {
        offer.is_ours = text_equal(type, TEXT("text/plain")) &&
                        (version.size == 0 || text_equal(version, TEXT("0.0.4")) ||
                         text_equal(version, TEXT("1.0.0")));
    }
    return offer;
}

struct exposition_form exposition_negotiate(struct text accept)
{
    struct exposition_form best = {EXPOSITION_TEXT, EXPOSITION_UNDERSCORES};
    double best_weight = 0;
    while (accept.size > 0) {
        struct text range;
        text_split(accept, ',', &range, &accept);
        struct offer offer = read_offer(range);
        if (offer.is_ours && offer.weight > best_weight) {
            best = offer.form;
            best_weight = offer.weight;
        }
    }
    return best;
}

struct text exposition_content_type(struct exposition_form form)
{
#define OF_TEXT "text/plain; version=0.0.4; charset=utf-8; escaping="
#define OF_PROTOBUF                                                                                \
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "                   \
    "encoding=delimited; escaping="
    static const char *const TYPES[][EXPOSITION_ESCAPINGS] = {
        [EXPOSITION_TEXT] = {OF_TEXT "underscores", OF_TEXT "dots", OF_TEXT "values",
                             OF_TEXT "allow-utf-8"},
        [EXPOSITION_PROTOBUF] = {OF_PROTOBUF "underscores", OF_PROTOBUF "dots",
                                 OF_PROTOBUF "values", OF_PROTOBUF "allow-utf-8"},
    };
#undef OF_TEXT
#undef OF_PROTOBUF
    return text_of(TYPES[form.format][form.escaping]);
}

/* --- Names ------------------------------------------------------------------------------------ */

/* The next character, as Unicode; 0xfffd, and one byte, when it is none. */
static size_t next_character(struct text rest, uint32_t *character_out)
{
    static const uint32_t LEADS[] = {0, 0, 0x1f, 0x0f, 0x07};
    unsigned char lead = (unsigned char)rest.data[0];
    size_t size = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 0;
    *character_out = lead;
    if (size == 1)
        return 1;
    if (size == 0 || size > rest.size || !text_is_utf8((struct text){rest.data, size})) {
        *character_out = 0xfffd;
        return 1;
    }
    *character_out = lead & LEADS[size];
    for (size_t i = 1; i < size; i++)
        *character_out = *character_out << 6 | ((unsigned char)rest.data[i] & 0x3f);
    return size;
}

static bool is_plain(uint32_t character, bool is_first)
{
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
           character == '_' || character == ':' ||
           (character >= '0' && character <= '9' && !is_first);
}

static void append_text(struct byte_buffer *target, const char *text)
{
    byte_buffer_append(target, text, strlen(text));
}

static void append_code(struct byte_buffer *target, uint32_t character)
{
    char code[16];
    snprintf(code, sizeof code, "_%x_", character);
    append_text(target, code);
}

static void append_character(enum exposition_escaping escaping, uint32_t character, bool is_first,
                             struct byte_buffer *target)
{
    bool is_underscore = character == '_' && escaping != EXPOSITION_UNDERSCORES;
    if (is_underscore)
        append_text(target, "__");
    else if (character == '.' && escaping == EXPOSITION_DOTS)
        append_text(target, "_dot_");
    else if (is_plain(character, is_first))
        byte_buffer_u8(target, (uint8_t)character);
    else if (escaping == EXPOSITION_UNDERSCORES)
        append_text(target, "_");
    else if (escaping == EXPOSITION_DOTS)
        append_text(target, "__");
    else
        append_code(target, character);
}

void exposition_escape_name(enum exposition_escaping escaping, struct text name,
                            struct byte_buffer *target)
{
    /* Dots double the underscores of plain names as well. */
    if (escaping == EXPOSITION_UTF8 ||
        (escaping != EXPOSITION_DOTS && metric_name_is_legacy(name))) {
        byte_buffer_append(target, name.data, name.size);
        return;
    }
    if (escaping == EXPOSITION_VALUES)
        append_text(target, "U__");
    for (size_t at = 0; at < name.size;) {
        uint32_t character;
        bool is_first = at == 0;
        at += next_character((struct text){name.data + at, name.size - at}, &character);
        append_character(escaping, character, is_first, target);
    }
}
