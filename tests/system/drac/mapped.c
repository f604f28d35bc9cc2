/* mapped HOST NETTYPE ADDRESS: asks the portmapper of the host for the port, and adds an address.
   Ends with the status of the answer, 10 without a port, 11 without an answer. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include "interface.h"

int main(int count, char **words) {
  if (count != 4) return 64;
  int isV6 = strchr(words[3], ':') != NULL;
  CLIENT *client = clnt_create(words[1], DRACX, isV6 ? DRACX_V6 : DRACX_V4, words[2]);
  rstat *answer;
  if (!client) {
    clnt_pcreateerror(words[1]);
    return 10;
  }
  if (isV6) {
    v6arg given;
    inet_pton(AF_INET6, words[3], given.addr);
    answer = addr_add_2(&given, client);
  } else {
    v4arg given = {ntohl(inet_addr(words[3]))};
    answer = addr_add_1(&given, client);
  }
  if (!answer) {
    clnt_perror(client, "call");
    return 11;
  }
  printf("status %d\n", (int)*answer);
  clnt_destroy(client);
  return *answer;
}
