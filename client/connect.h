/* Opening a ring: the connection, and what the service sends with it. Inside of the library. */
#ifndef SKERRY_CLIENT_CONNECT_H_
#define SKERRY_CLIENT_CONNECT_H_

#include <stddef.h>
#include <stdint.h>

struct Opened {
  int socket;     /* -1: none; the caller's to close in any case */
  int descriptor; /* of the memory; the caller's to close after success */
};

/* SKERRY_STATUS_OK, or another and the reason as text. `token`: NULL takes the environment's. */
int skerry_connect(const char* socket_path, const char* token, const char* target,
                   int32_t timeout_ms, struct Opened* opened, char* reason, size_t reason_bytes);

#endif /* SKERRY_CLIENT_CONNECT_H_ */
