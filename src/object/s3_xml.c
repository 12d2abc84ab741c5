#include "s3_xml.h"

#include <string.h>

#include <expat.h>

#include "base/bytes.h"

struct reading {
    XML_Parser parser;
    s3_xml_visit *visit;
    void *context;
    char path[S3_XML_PATH_BYTES_MAX];
    size_t path_size;
    size_t starts[S3_XML_DEPTH_MAX]; /* [depth]: where in `path` each element begins */
    size_t depth;
    struct byte_buffer value;
    enum error_code code;
    struct error *error;
};

static void stop(struct reading *reading, enum error_code code)
{
    reading->code = code;
    XML_StopParser(reading->parser, XML_FALSE);
}

static void stop_corrupt(struct reading *reading, const char *reason)
{
    stop(reading, error_set(reading->error, ERROR_CORRUPT, "XML of the store: %s", reason));
}

static void begin_element(void *context, const XML_Char *name, const XML_Char **attributes)
{
    struct reading *reading = context;
    (void)attributes;
    const char *colon = strrchr(name, ':');
    if (colon != NULL)
        name = colon + 1;
    size_t size = strlen(name), slash = reading->depth > 0;
    if (reading->depth == S3_XML_DEPTH_MAX || size + slash > sizeof reading->path ||
        reading->path_size > sizeof reading->path - size - slash) {
        stop_corrupt(reading, "elements too deep");
        return;
    }
    reading->starts[reading->depth++] = reading->path_size;
    if (slash)
        reading->path[reading->path_size++] = '/';
    memcpy(reading->path + reading->path_size, name, size);
    reading->path_size += size;
    byte_buffer_reset(&reading->value);
}

static void end_element(void *context, const XML_Char *name)
{
    struct reading *reading = context;
    (void)name;
    if (reading->code != ERROR_NONE)
        return;
    struct text path = {reading->path, reading->path_size};
    struct text value = {(const char *)reading->value.bytes, reading->value.size};
    enum error_code code = reading->visit(reading->context, path, value, reading->error);
    if (code != ERROR_NONE)
        stop(reading, code);
    reading->path_size = reading->starts[--reading->depth];
    byte_buffer_reset(&reading->value);
}

static void take_text(void *context, const XML_Char *text, int size)
{
    struct reading *reading = context;
    if (reading->code != ERROR_NONE)
        return;
    if ((size_t)size > S3_XML_VALUE_BYTES_MAX - reading->value.size) {
        stop_corrupt(reading, "a value too long");
        return;
    }
    byte_buffer_append(&reading->value, text, (size_t)size);
    if (reading->value.failed)
        stop(reading, error_set(reading->error, ERROR_OUT_OF_MEMORY, "XML of the store"));
}

/* Answers of a store have none, and entities are made of them. */
static void refuse_document_type(void *context, const XML_Char *name, const XML_Char *system,
                                 const XML_Char *public_id, int has_internal_subset)
{
    (void)name, (void)system, (void)public_id, (void)has_internal_subset;
    stop_corrupt(context, "a document type");
}

enum error_code s3_xml_parse(struct text document, s3_xml_visit *visit, void *context,
                             struct error *error)
{
    struct reading reading = {.visit = visit, .context = context, .error = error};
    if (document.size > INT32_MAX)
        return error_set(error, ERROR_CORRUPT, "XML of the store: too long");
    reading.parser = XML_ParserCreate(NULL);
    if (reading.parser == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "XML of the store");
    XML_SetUserData(reading.parser, &reading);
    XML_SetElementHandler(reading.parser, begin_element, end_element);
    XML_SetCharacterDataHandler(reading.parser, take_text);
    XML_SetStartDoctypeDeclHandler(reading.parser, refuse_document_type);
    if (XML_Parse(reading.parser, document.data, (int)document.size, XML_TRUE) != XML_STATUS_OK &&
        reading.code == ERROR_NONE) {
        enum XML_Error reason = XML_GetErrorCode(reading.parser);
        reading.code = reason == XML_ERROR_NO_MEMORY
                           ? error_set(error, ERROR_OUT_OF_MEMORY, "XML of the store")
                           : error_set(error, ERROR_CORRUPT, "XML of the store: line %lu: %s",
                                       (unsigned long)XML_GetCurrentLineNumber(reading.parser),
                                       XML_ErrorString(reason));
    }
    XML_ParserFree(reading.parser);
    byte_buffer_clear(&reading.value);
    return reading.code;
}
