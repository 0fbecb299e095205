import stylistic from '@stylistic/eslint-plugin'
import tseslint from 'typescript-eslint'

const style = stylistic.configs.customize({
  indent: 2,
  quotes: 'single',
  semi: false,
  commaDangle: 'never',
  braceStyle: '1tbs',
  quoteProps: 'as-needed'
})
const [, , indent] = style.rules['@stylistic/indent']

export default tseslint.config(
  { ignores: ['dist/', 'build/', 'node_modules/', 'eslint.config.js', 'packaging/*', '!packaging/page/'] },
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      eqeqeq: 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/consistent-type-imports': 'error'
    }
  },
  {
    // How the sources look; `npm run format` sees to most of it. Where a line is broken is left to whoever writes it.
    files: ['**/*.ts', 'packaging/page/*.js'],
    ignores: ['src/protocol/procedure-table.ts'],
    plugins: { '@stylistic': stylistic },
    rules: {
      ...style.rules,
      '@stylistic/arrow-parens': ['error', 'as-needed'],
      '@stylistic/generator-star-spacing': ['error', { before: false, after: true, method: { before: true, after: false } }],
      '@stylistic/indent': ['error', 2, { ...indent, flatTernaryExpressions: true, offsetTernaryExpressions: false }],
      '@stylistic/indent-binary-ops': 'off',
      '@stylistic/lines-between-class-members': 'off',
      '@stylistic/list-style': 'off',
      '@stylistic/max-len': ['error', 140],
      '@stylistic/max-statements-per-line': 'off',
      '@stylistic/member-delimiter-style': ['error', {
        multiline: { delimiter: 'none', requireLast: false },
        singleline: { delimiter: 'semi', requireLast: false }
      }],
      '@stylistic/multiline-ternary': 'off',
      '@stylistic/no-mixed-operators': 'off',
      '@stylistic/operator-linebreak': 'off',
      '@stylistic/quotes': ['error', 'single', { avoidEscape: true, allowTemplateLiterals: 'always' }]
    }
  },
  {
    // The layers import one way: protocol <- workers <- main.
    files: ['src/protocol/**'],
    rules: { 'no-restricted-imports': ['error', { patterns: ['#*', '**/workers/**', '**/main/**', 'node:net', 'net', 'koffi'] }] }
  },
  {
    files: ['src/workers/**'],
    rules: { 'no-restricted-imports': ['error', { patterns: ['#*', '**/main/**'] }] }
  },
  {
    // Clients name files to the test driver: one place opens them.
    files: ['src/workers/test-driver/**'],
    ignores: ['src/workers/test-driver/private-files.ts'],
    rules: {
      'no-restricted-imports': ['error', { patterns: ['#*', '**/main/**', 'fs', 'fs/*', 'node:fs', 'node:fs/*', 'node:child_process'] }]
    }
  },
  {
    // Names with # are for those who look at the sources from outside: tests and bench.
    files: ['src/main/**'],
    rules: { 'no-restricted-imports': ['error', { patterns: ['#*'] }] }
  },
  {
    files: ['test/**'],
    rules: { '@typescript-eslint/no-unused-expressions': 'off' }
  }
)
