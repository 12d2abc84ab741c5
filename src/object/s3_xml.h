/*
 * s3_xml - XML from outside, as a row of elements that ended.
 */
#ifndef OBJECT_S3_XML_H
#define OBJECT_S3_XML_H

#include "base/error.h"
#include "base/text.h"

enum { S3_XML_DEPTH_MAX = 12, S3_XML_PATH_BYTES_MAX = 240, S3_XML_VALUE_BYTES_MAX = 8192 };

/*
 * An element has ended. `path` names it from the root on, "ListBucketResult/Contents/Key", without
 * name space prefixes; `value` is the text directly in it, as it is. Both as long as the call. The
 * elements inside came before. Returns an error code to stop with.
 */
typedef enum error_code s3_xml_visit(void *context, struct text path, struct text value,
                                     struct error *error);

/* Errors: CORRUPT (no XML, cut, a document type, too deep, too long), OUT_OF_MEMORY, and the
 * visit's. */
enum error_code s3_xml_parse(struct text document, s3_xml_visit *visit, void *context,
                             struct error *error);

#endif
