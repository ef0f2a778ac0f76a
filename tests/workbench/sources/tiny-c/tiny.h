#ifdef __cplusplus
extern "C" {
#endif
double tiny_growth(double rate, double years);
int tiny_answer(void);
#ifdef __cplusplus
}
#endif
