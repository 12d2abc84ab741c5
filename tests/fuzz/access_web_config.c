/* A web config, whatever its bytes, is read or refused with a reason. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "access/web_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct web_config *config = NULL;
    struct error error;
    char *copy = malloc(size + 1);
    if (size > 0)
        memcpy(copy, bytes, size);
    enum error_code code = web_config_parse((struct text){copy, size}, "/nowhere", &config, &error);
    assert((code == ERROR_NONE) == (config != NULL));
    if (config != NULL) {
        assert((config->certificate_path == NULL) == (config->key_path == NULL));
        for (size_t i = 0; i < config->user_count; i++)
            assert(config->users[i].name.size > 0 && strlen(config->users[i].hash) == 60);
        for (size_t i = 0; i < config->token_count; i++)
            assert(config->tokens[i].secret.size >= WEB_TOKEN_BYTES_MIN);
    } else {
        assert(code != ERROR_NONE && error.message[0] != '\0');
    }
    web_config_destroy(config);
    free(copy);
    return 0;
}
