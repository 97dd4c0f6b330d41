/* OpenMP: a parallel loop, a reduction, tasks and a critical section; libgomp's spinning barriers
 * and futexes. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

static long fibonacci(int n)
{
    if (n < 2)
        return n;
    long a, b;
#pragma omp task shared(a) if (n > 16)
    a = fibonacci(n - 1);
#pragma omp task shared(b) if (n > 16)
    b = fibonacci(n - 2);
#pragma omp taskwait
    return a + b;
}

int main(void)
{
    enum { N = 160 };
    static double a[N][N], b[N][N], c[N][N];
    omp_set_num_threads(4);
#pragma omp parallel for
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i][j] = i + j;
            b[i][j] = i - j;
        }
    for (int round = 0; round < 5; round++) {
#pragma omp parallel for schedule(dynamic, 4)
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                double sum = 0;
                for (int k = 0; k < N; k++)
                    sum += a[i][k] * b[k][j];
                c[i][j] = sum;
            }
    }
    long total = 0, visits = 0;
#pragma omp parallel for reduction(+ : total)
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            total += (long)c[i][j];
#pragma omp parallel num_threads(4)
    for (int i = 0; i < 50; i++)
#pragma omp critical
        visits++;
    long f = 0;
#pragma omp parallel
#pragma omp single
    f = fibonacci(22);
    printf("%ld %ld %ld\n", total, visits, f);
    return 0;
}
