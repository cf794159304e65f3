/* As much of Unity as the generated program uses. */
#ifndef UNITY_H
#define UNITY_H

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

void setUp(void);
void tearDown(void);

static jmp_buf unity_end;
static int unity_failed;

#define UNITY_BEGIN() (unity_failed = 0)
#define UNITY_END() (unity_failed)
#define RUN_TEST(test)                   \
    do {                                 \
        setUp();                         \
        printf("%s\n", #test);           \
        if (setjmp(unity_end) == 0) {    \
            test();                      \
        }                                \
        tearDown();                      \
    } while (0)
#define TEST_IGNORE_MESSAGE(message)     \
    do {                                 \
        printf("skipped: %s\n", message); \
        longjmp(unity_end, 1);           \
    } while (0)
#define TEST_ASSERT_EQUAL_UINT32_MESSAGE(expected, got, message)                    \
    do {                                                                            \
        if ((uint32_t)(expected) != (uint32_t)(got)) {                              \
            printf("expected %u, got %u: %s\n", (unsigned)(expected), (unsigned)(got), message); \
            unity_failed = 1;                                                       \
            longjmp(unity_end, 1);                                                  \
        }                                                                           \
    } while (0)

#endif
