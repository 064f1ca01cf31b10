// A FIDO device in software, as a library that OpenSSH's ssh-keygen, ssh-add and ssh-agent load in place of a driver (sk-api.h).
//
// Keys, signatures, flags and counter are what a device makes; only the touch is missing. The private key is in the
// handle, as in devices without memory of their own. libcrypto's functions are declared here, because every machine with
// OpenSSH has the library and few have its headers.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct evp_pkey_st EVP_PKEY;
typedef struct evp_md_ctx_st EVP_MD_CTX;
EVP_PKEY *EVP_PKEY_Q_keygen(void *context, const char *properties, const char *type, ...);
void EVP_PKEY_free(EVP_PKEY *key);
int EVP_PKEY_get_octet_string_param(const EVP_PKEY *key, const char *name, unsigned char *to, size_t room, size_t *length);
int i2d_PrivateKey(const EVP_PKEY *key, unsigned char **to);
EVP_PKEY *d2i_AutoPrivateKey(EVP_PKEY **key, const unsigned char **from, long length);
EVP_MD_CTX *EVP_MD_CTX_new(void);
void EVP_MD_CTX_free(EVP_MD_CTX *context);
const void *EVP_sha256(void);
int EVP_DigestSignInit(EVP_MD_CTX *context, void *key_context, const void *hash, void *engine, EVP_PKEY *key);
int EVP_DigestSign(EVP_MD_CTX *context, unsigned char *signature, size_t *length, const unsigned char *data, size_t size);
unsigned char *SHA256(const unsigned char *data, size_t size, unsigned char *hash);

enum { ECDSA = 0, ED25519 = 1, FAILURE = -1, UNSUPPORTED = -2, HASH = 32, MOST = 512 };

struct sk_enroll_response {
    uint8_t flags;
    uint8_t *public_key;
    size_t public_key_len;
    uint8_t *key_handle;
    size_t key_handle_len;
    uint8_t *signature;
    size_t signature_len;
    uint8_t *attestation_cert;
    size_t attestation_cert_len;
    uint8_t *authdata;
    size_t authdata_len;
};

struct sk_sign_response {
    uint8_t flags;
    uint32_t counter;
    uint8_t *sig_r;
    size_t sig_r_len;
    uint8_t *sig_s;
    size_t sig_s_len;
};

struct sk_resident_key;
struct sk_option;

uint32_t sk_api_version(void) {
    return 0x000a0000;
}

static uint8_t *copy(const uint8_t *from, size_t length) {
    uint8_t *to = malloc(length);
    if (to)
        memcpy(to, from, length);
    return to;
}

int sk_enroll(uint32_t algorithm, const uint8_t *challenge, size_t challenge_length, const char *application, uint8_t flags,
              const char *pin, struct sk_option **options, struct sk_enroll_response **response) {
    (void)challenge, (void)challenge_length, (void)application, (void)pin, (void)options;
    unsigned char public_key[MOST], handle[MOST], *end = handle;
    size_t length = 0;
    EVP_PKEY *key = NULL;
    if (algorithm == ECDSA)
        key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    else if (algorithm == ED25519)
        key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    else
        return UNSUPPORTED;
    if (!key || !EVP_PKEY_get_octet_string_param(key, "pub", public_key, sizeof public_key, &length))
        return FAILURE;
    int handle_length = i2d_PrivateKey(key, NULL);
    if (handle_length <= 0 || handle_length > MOST || i2d_PrivateKey(key, &end) != handle_length)
        return FAILURE;
    EVP_PKEY_free(key);
    struct sk_enroll_response *made = calloc(1, sizeof *made);
    if (!made)
        return FAILURE;
    made->flags = flags;
    made->public_key = copy(public_key, length);
    made->public_key_len = length;
    made->key_handle = copy(handle, (size_t)handle_length);
    made->key_handle_len = (size_t)handle_length;
    // An attestation that was not asked for.
    made->signature = copy(handle, 1);
    made->signature_len = 1;
    *response = made;
    return 0;
}

// Takes the two numbers of an ECDSA signature out of their DER.
static int split(const uint8_t *der, size_t length, struct sk_sign_response *made) {
    size_t at = 2;
    for (int number = 0; number < 2; number++) {
        if (at + 2 > length || der[at] != 2 || at + 2 + der[at + 1] > length)
            return FAILURE;
        size_t size = der[at + 1];
        const uint8_t *digits = der + at + 2;
        at += 2 + size;
        while (size > 1 && *digits == 0)
            digits++, size--;
        uint8_t **to = number ? &made->sig_s : &made->sig_r;
        *to = copy(digits, size);
        *(number ? &made->sig_s_len : &made->sig_r_len) = size;
    }
    return 0;
}

int sk_sign(uint32_t algorithm, const uint8_t *data, size_t data_length, const char *application, const uint8_t *handle,
            size_t handle_length, uint8_t flags, const char *pin, struct sk_option **options,
            struct sk_sign_response **response) {
    (void)pin, (void)options;
    // Devices count their signatures. The fourth byte differs from the others, so that a wrong order is noticed.
    uint32_t counter = 0x01020300 + flags;
    uint8_t message[HASH + 1 + 4 + HASH], signature[MOST];
    size_t length = sizeof signature;
    SHA256((const unsigned char *)application, strlen(application), message);
    message[HASH] = flags;
    for (int byte = 0; byte < 4; byte++)
        message[HASH + 1 + byte] = (uint8_t)(counter >> (24 - 8 * byte));
    SHA256(data, data_length, message + HASH + 5);

    const unsigned char *from = handle;
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &from, (long)handle_length);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!key || !context)
        return FAILURE;
    const void *hash = algorithm == ECDSA ? EVP_sha256() : NULL;
    int signs = EVP_DigestSignInit(context, NULL, hash, NULL, key) == 1 &&
                EVP_DigestSign(context, signature, &length, message, sizeof message) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    struct sk_sign_response *made = calloc(1, sizeof *made);
    if (!signs || !made)
        return FAILURE;
    made->flags = flags;
    made->counter = counter;
    if (algorithm == ECDSA) {
        if (split(signature, length, made))
            return FAILURE;
    } else {
        made->sig_r = copy(signature, length);
        made->sig_r_len = length;
    }
    *response = made;
    return 0;
}

int sk_load_resident_keys(const char *pin, struct sk_option **options, struct sk_resident_key ***keys, size_t *count) {
    (void)pin, (void)options, (void)keys, (void)count;
    return UNSUPPORTED;
}
