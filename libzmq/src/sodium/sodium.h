// Replaces libsodium's header of the same name, which includes every algorithm.

#ifndef zmqchat_sodium_h
#define zmqchat_sodium_h

#include "sodium/core.h"
#include "sodium/crypto_box.h"
#include "sodium/crypto_scalarmult.h"
#include "sodium/crypto_secretbox.h"
#include "sodium/randombytes.h"
#include "sodium/utils.h"

#endif
