// Functions of libsodium that CURVE does not use, but that the files for CURVE refer to.

#include "core.h"
#include "crypto_stream_chacha20.h"
#include "private/implementations.h"

// `sodium_init` calls these to select an implementation of each algorithm.
int _crypto_aead_aegis128l_pick_best_implementation (void)
{
    return 0;
}

int _crypto_aead_aegis256_pick_best_implementation (void)
{
    return 0;
}

int _crypto_generichash_blake2b_pick_best_implementation (void)
{
    return 0;
}

int _crypto_pwhash_argon2_pick_best_implementation (void)
{
    return 0;
}

int _crypto_stream_chacha20_pick_best_implementation (void)
{
    return 0;
}

// Called only by `randombytes_buf_deterministic`, which libzmq does not use.
int crypto_stream_chacha20_ietf (unsigned char *output_,
                                 unsigned long long size_,
                                 const unsigned char *nonce_,
                                 const unsigned char *key_)
{
    (void) output_;
    (void) size_;
    (void) nonce_;
    (void) key_;
    sodium_misuse ();
}
