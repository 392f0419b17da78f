{{ stage('inspections', 'grain_step') }}
