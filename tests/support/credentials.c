#include "credentials.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void write_key(const char *path, EVP_PKEY *key)
{
    FILE *file = fopen(path, "w");
    assert(file != NULL);
    int written = PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    assert(written == 1);
    fclose(file);
}

static void write_certificate(const char *path, X509 *certificate)
{
    FILE *file = fopen(path, "w");
    assert(file != NULL);
    int written = PEM_write_X509(file, certificate);
    assert(written == 1);
    fclose(file);
}

/* Signed by `authority`, or by itself without one. */
static X509 *sign(EVP_PKEY *key, const char *name, int64_t valid_s, X509 *authority,
                  EVP_PKEY *authority_key)
{
    X509 *certificate = X509_new();
    assert(certificate != NULL);
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), (long)valid_s);
    X509_set_pubkey(certificate, key);
    X509_NAME *subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(certificate,
                         authority == NULL ? subject : X509_get_subject_name(authority));
    X509_EXTENSION *constraints =
        X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints,
                            authority == NULL ? "critical,CA:TRUE" : "critical,CA:FALSE");
    X509_add_ext(certificate, constraints, -1);
    X509_EXTENSION_free(constraints);
    int size = X509_sign(certificate, authority == NULL ? key : authority_key, EVP_sha256());
    assert(size > 0);
    return certificate;
}

void credentials_replace(struct credentials *credentials, const char *name, int64_t valid_s)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert(key != NULL);
    X509 *certificate = sign(key, name, valid_s, NULL, NULL);
    write_key(credentials->key_path, key);
    write_certificate(credentials->certificate_path, certificate);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void make_folder(struct credentials *credentials)
{
    snprintf(credentials->directory, sizeof credentials->directory, "/tmp/credentials-XXXXXX");
    const char *made = mkdtemp(credentials->directory);
    assert(made != NULL);
    snprintf(credentials->certificate_path, sizeof credentials->certificate_path,
             "%.100s/certificate.pem", credentials->directory);
    snprintf(credentials->key_path, sizeof credentials->key_path, "%.100s/key.pem",
             credentials->directory);
}

void credentials_create(struct credentials *credentials, const char *name, int64_t valid_s)
{
    make_folder(credentials);
    credentials_replace(credentials, name, valid_s);
}

void credentials_create_signed(struct credentials *credentials, const char *name, int64_t valid_s,
                               const struct credentials *authority)
{
    make_folder(credentials);
    FILE *file = fopen(authority->key_path, "r");
    assert(file != NULL);
    EVP_PKEY *authority_key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    file = fopen(authority->certificate_path, "r");
    assert(file != NULL);
    X509 *authority_certificate = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    assert(authority_key != NULL && authority_certificate != NULL);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert(key != NULL);
    X509 *certificate = sign(key, name, valid_s, authority_certificate, authority_key);
    write_key(credentials->key_path, key);
    write_certificate(credentials->certificate_path, certificate);
    X509_free(certificate);
    X509_free(authority_certificate);
    EVP_PKEY_free(key);
    EVP_PKEY_free(authority_key);
}

void credentials_remove(struct credentials *credentials)
{
    unlink(credentials->certificate_path);
    unlink(credentials->key_path);
    rmdir(credentials->directory);
}
