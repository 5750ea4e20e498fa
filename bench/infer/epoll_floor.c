// The floor of HTTP on this machine: one thread, epoll, no library, no JSON, no model. It answers
// every request with the same bytes as soon as the request's body is there.
//
//   infer_floor HEADER_BYTES BODY_BYTES
//
// Listens on a free port of 127.0.0.1 and prints it. The answer has HEADER_BYTES of headers (about)
// and a body of BODY_BYTES.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { kBufferBytes = 1 << 16, kEvents = 64 };

struct Connection {
  int fd;
  size_t filled;
  char buffer[kBufferBytes];
};

static char answer[2 * kBufferBytes];
static size_t answer_bytes;

static void make_answer(size_t header_bytes, size_t body_bytes) {
  int head = snprintf(answer, kBufferBytes,
                      "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nX-Filler: ", body_bytes);
  while ((size_t)head + 4 < header_bytes && head < kBufferBytes - 8) answer[head++] = 'x';
  memcpy(answer + head, "\r\n\r\n", 5);  // with its end
  answer_bytes = (size_t)head + 4 + body_bytes;
}

// Whole requests at the front of the buffer are answered. 0 where the connection is over.
static int serve(struct Connection* c) {
  ssize_t count = recv(c->fd, c->buffer + c->filled, sizeof c->buffer - c->filled - 1, 0);
  if (count <= 0) return 0;
  c->filled += (size_t)count;
  c->buffer[c->filled] = '\0';
  for (;;) {
    char* end = strstr(c->buffer, "\r\n\r\n");
    if (!end) return c->filled + 1 < sizeof c->buffer;
    char* length = strstr(c->buffer, "Content-Length: ");
    size_t whole = (size_t)(end + 4 - c->buffer) +
                   (length && length < end ? strtoul(length + 16, NULL, 10) : 0);
    if (c->filled < whole) return whole < sizeof c->buffer;
    if (send(c->fd, answer, answer_bytes, MSG_NOSIGNAL) != (ssize_t)answer_bytes) return 0;
    memmove(c->buffer, c->buffer + whole, c->filled - whole + 1);
    c->filled -= whole;
    if (c->filled == 0) return 1;
  }
}

static int listen_anywhere(void) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof name;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr*)&name, size) != 0 || listen(fd, 64) != 0 ||
      getsockname(fd, (struct sockaddr*)&name, &size) != 0) {
    perror("infer_floor");
    exit(1);
  }
  printf("%d\n", ntohs(name.sin_port));
  fflush(stdout);
  return fd;
}

static void accept_one(int listener, int epoll) {
  int on = 1;
  struct Connection* c = calloc(1, sizeof *c);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  c->fd = accept(listener, NULL, NULL);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: infer_floor HEADER_BYTES BODY_BYTES\n");
    return 2;
  }
  make_answer(strtoul(argv[1], NULL, 10), strtoul(argv[2], NULL, 10) % kBufferBytes);
  int listener = listen_anywhere();
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event events[kEvents] = {{.events = EPOLLIN, .data.ptr = NULL}};
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &events[0]);
  for (;;) {
    int count = epoll_wait(epoll, events, kEvents, -1);
    for (int i = 0; i < count; ++i) {
      struct Connection* c = events[i].data.ptr;
      if (!c) {
        accept_one(listener, epoll);
      } else if (!serve(c)) {
        close(c->fd);
        free(c);
      }
    }
  }
}
