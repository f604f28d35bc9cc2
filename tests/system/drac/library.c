/* library HOST ADDRESS [COUNT]: adds an address with the genuine libdrac; with COUNT by one handle that is kept,
   a line and a tenth of a second for each.  Prints what the library returns and says. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int dracauth(char *, unsigned long, char **), dracauth6(char *, unsigned char *, char **);
int dracconn(char *, char **), dracsend(unsigned long, char **), dracdisc(char **);

int main(int count, char **words) {
  char *said = "-";
  unsigned char octets[16];
  if (count < 3) return 64;
  if (count == 3) {
    int result;
    if (strchr(words[2], ':')) {
      inet_pton(AF_INET6, words[2], octets);
      result = dracauth6(words[1], octets, &said);
    } else {
      result = dracauth(words[1], inet_addr(words[2]), &said);
    }
    printf("%d %s\n", result, said ? said : "-");
    return 0;
  }
  if (dracconn(words[1], &said)) {
    printf("no handle: %s\n", said);
    return 1;
  }
  for (int left = atoi(words[3]); left; left--) {
    int result = dracsend(inet_addr(words[2]), &said);
    printf("%d %s\n", result, result ? said : "-");
    fflush(stdout);
    usleep(100000);
  }
  return dracdisc(&said);
}
