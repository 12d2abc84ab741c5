/*
 * status - reason phrases (RFC 9110).
 */
#ifndef HTTP_STATUS_H
#define HTTP_STATUS_H

/* "Not Found"; "Unknown" for others. Static. */
const char *status_phrase(unsigned status);

#endif
